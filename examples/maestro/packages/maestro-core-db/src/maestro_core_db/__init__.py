"""Database sessions that commit or roll back.

database = Database(load(DatabaseSettings), metrics)
with database.session() as session:
    session.add(order)              # committed at the end, rolled back by an exception
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from maestro_core_config import SecretStr, Settings
from maestro_core_monitoring import Metrics
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

__all__ = ["Database", "DatabaseSettings"]


class DatabaseSettings(Settings):
    """Where the database is.

    Args:
        database_url: as SQLAlchemy has it; without a password, which stands alone.
        database_password: of the user in the address.
        database_pool: connections that are kept open.
    """

    database_url: str = "sqlite://"
    database_password: SecretStr | None = None
    database_pool: int = 5


class Database:
    """One database of a service.

    Args:
        settings: where it is.
        metrics: where sessions are timed, as ``db_session``.
    """

    def __init__(self, settings: DatabaseSettings, metrics: Metrics) -> None:
        self.engine = _engine(settings)
        self._metrics = metrics
        self._make = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Give a session: committed at the end, rolled back when anything is raised inside."""
        with self._metrics.timed("db_session"), self._make.begin() as session:
            yield session

    def healthy(self) -> bool:
        """Tell whether the database answers; for the service's readiness."""
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _engine(settings: DatabaseSettings) -> Engine:
    url = make_url(settings.database_url)
    if settings.database_password is not None:
        url = url.set(password=settings.database_password.get_secret_value())
    if url.get_backend_name() == "sqlite":
        return create_engine(url)
    # A connection that the server has closed meanwhile is found before it is used.
    return create_engine(url, pool_size=settings.database_pool, pool_pre_ping=True)
