"""Backups of a Nexus."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from uplift.spec.backup.models import Backup
from uplift.spec.container.models import Size
from uplift.spec.nexus.server import PORT
from uplift.spec.secret import SecretRef


class NexusBackup(Backup):
    """Backups of a Nexus in a container.

    Args:
        user: an administrator.
        password: of that user.
        method: ``stopped`` copies the data folder while the server is stopped; a database that runs
            cannot be copied file by file.
        port: the server's own, inside its container.
        heap: memory for Java's objects of the server that reads a backup back, and as much again
            of direct memory; it runs beside the real one for a while.
        start_limit: seconds that a server may take to start.
    """

    container: str = Field(default="nexus", pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,62}$")
    user: str = Field(default="admin", pattern=r"^[^\s:]+$")
    password: SecretRef
    method: Literal["stopped"] = "stopped"
    port: int = Field(default=PORT, ge=1, le=65535)
    heap: Size = "512m"
    start_limit: int = Field(default=600, ge=10, le=86_400)
