"""Run the console: ``console``, or ``python -m console``."""

from __future__ import annotations

import sys

import uvicorn
from maestro_core_config import ConfigError, load

from console.app import create
from console.settings import ConsoleSettings

SHUTDOWN = 10  # seconds for open requests when it is stopped


def main() -> None:
    """Serve until a signal ends it."""
    try:
        settings = load(ConsoleSettings)
    except ConfigError as error:
        sys.exit(f"console: {error}")
    uvicorn.run(
        create(settings),
        host="0.0.0.0",  # noqa: S104 - inside its container
        port=settings.port,
        # Logs are set up by the settings, and each request is logged with its id.
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN,
    )


if __name__ == "__main__":
    main()
