"""Which subjects can be backed up."""

from __future__ import annotations

from collections.abc import Mapping

from uplift.spec.backup.models import Backup
from uplift.spec.base import Block
from uplift.spec.influxdb.backup import InfluxBackup
from uplift.spec.nexus.backup import NexusBackup


class Backups(Block):
    """Backups of a host's subjects; one that is left out has none.

    Args:
        influxdb: InfluxDB.
        nexus: Nexus.
    """

    influxdb: InfluxBackup | None = None
    nexus: NexusBackup | None = None

    @property
    def wanted(self) -> Mapping[str, Backup]:
        """Return what is backed up, by subject."""
        return {name: value for name, value in self if value is not None}
