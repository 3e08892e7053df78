"""Backups of an InfluxDB."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from uplift.spec.backup.models import Backup
from uplift.spec.secret import SecretRef

DATA = "/var/lib/influxdb2"
"""Where the official image has its data."""


class InfluxBackup(Backup):
    """Backups of an InfluxDB 2.7 in a container.

    Args:
        token: the server's operator token.
        method: ``online`` asks the running server for its data; ``stopped`` copies the volume while
            the server is stopped.
        port: the server's own, inside its container.
        count_points: count all points of all buckets, of the server and of what is read back;
            False compares the buckets alone, for servers where counting takes too long.
        start_limit: seconds that a server may take to start, in which it builds its index anew.
    """

    container: str = Field(default="influxdb", pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,62}$")
    token: SecretRef
    method: Literal["online", "stopped"] = "online"
    port: int = Field(default=8086, ge=1, le=65535)
    count_points: bool = True
    start_limit: int = Field(default=600, ge=10, le=86_400)
