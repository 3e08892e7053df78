"""What the console is told by its environment and by files with secrets."""

from __future__ import annotations

import socket
from importlib.metadata import version

from maestro_core_config import SecretStr, Settings
from pydantic import Field


class ConsoleSettings(Settings):
    """Settings; in the environment each has ``MAESTRO_`` before its name.

    Args:
        service: name in logs and metrics.
        version: that of the installed package.
        node: host that it runs on, shown in the page.
        port: that it listens on.
        redis_host: where its state is.
        redis_port: of Redis.
        redis_password: of Redis.
        drain_token: who has it may tell the console to send its guests away; nobody may without.
    """

    service: str = "console"
    version: str = Field(default_factory=lambda: version("maestro-console"))
    node: str = Field(default_factory=socket.gethostname)
    port: int = 8000
    redis_host: str = "127.0.0.1"
    redis_port: int = 6379
    redis_password: SecretStr | None = None
    drain_token: SecretStr | None = None
