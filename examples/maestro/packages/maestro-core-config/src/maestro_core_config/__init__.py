"""Typed settings from the environment and from files with secrets.

    class OrderSettings(Settings):
        batch: int = 100
        api_key: SecretStr

    settings = load(OrderSettings)      # MAESTRO_BATCH=50, and the file secrets/maestro_api_key

The environment goes over files; names are the fields' with ``MAESTRO_`` before them.
"""

from __future__ import annotations

import os
from typing import Literal, TypeVar

from maestro_core_logging import setup
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["ConfigError", "SecretStr", "Settings", "load"]

PREFIX = "MAESTRO_"
SECRETS = "/run/secrets"
"""Folder of files with secrets; ``MAESTRO_SECRETS_DIR`` names another."""


class ConfigError(Exception):
    """Say which settings are missing or wrong, by the names under which they are set."""


class Settings(BaseSettings):
    """What every service needs to know.

    Args:
        service: name in logs and metrics.
        version: what runs, as ``/version`` says it.
        environment: where it runs.
        log_level: the least that is logged.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    service: str = "maestro"
    version: str = "0"
    environment: Literal["development", "staging", "production"] = "development"
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"


S = TypeVar("S", bound=Settings)


def load(kind: type[S]) -> S:
    """Read settings, and set the logs up as they say.

    Args:
        kind: the settings of a service.

    Raises:
        ConfigError: names everything that is missing or wrong, and never a value.
    """
    folder = os.environ.get(f"{PREFIX}SECRETS_DIR", SECRETS)
    try:
        settings = kind(_secrets_dir=folder if os.path.isdir(folder) else None)  # noqa: PTH112
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(error))) from None
    setup(settings.service, settings.log_level)
    return settings


def _lines(error: ValidationError) -> list[str]:
    # Without what was found: it may be a secret in the wrong place.
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [f"{PREFIX}{'_'.join(map(str, it['loc'])).upper()}: {it['msg']}" for it in found]
