"""Sessions on a real SQLite file."""

from pathlib import Path

import pytest
from maestro_core_db import Database, DatabaseSettings
from maestro_core_monitoring import Metrics
from sqlalchemy import text


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(DatabaseSettings())


@pytest.fixture
def database(tmp_path: Path, metrics: Metrics) -> Database:
    made = Database(DatabaseSettings(database_url=f"sqlite:///{tmp_path / 'db'}"), metrics)
    with made.session() as session:
        session.execute(text("CREATE TABLE orders (id INTEGER)"))
    return made


def count(database: Database) -> int:
    with database.session() as session:
        return int(session.execute(text("SELECT count(*) FROM orders")).scalar_one())


def test_what_ends_well_is_kept(database: Database) -> None:
    with database.session() as session:
        session.execute(text("INSERT INTO orders VALUES (1)"))
    assert count(database) == 1


def test_what_fails_is_not_kept_and_is_counted(database: Database, metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="no"), database.session() as session:
        session.execute(text("INSERT INTO orders VALUES (1)"))
        raise ValueError("no")
    assert count(database) == 0
    assert metrics.count("db_session", "error") == 1


def test_a_database_that_does_not_answer_is_not_healthy(
    database: Database, tmp_path: Path, metrics: Metrics
) -> None:
    gone = Database(DatabaseSettings(database_url=f"sqlite:///{tmp_path}/no/db"), metrics)
    assert database.healthy()
    assert not gone.healthy()
