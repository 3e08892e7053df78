"""Restore a subject from a backup: the newest, or the one that is named.

pyinfra inventories/prod.py deploys/restore.py --data subject=influxdb --data backup=latest

Data that is there is replaced only with --data replace=yes. `deploys/backup.py --data subject=…`
lists the backups.
"""

from pyinfra import host

from uplift.operations import backup
from uplift.settings import for_host, with_secrets

settings = for_host(host).backups
subject, name = host.data.get("subject"), host.data.get("backup")

if settings is None:
    host.log("skipped: no block 'backups' in the group data")
else:
    backup.scheduled(name="Backup schedules", settings=with_secrets(settings))
    backup.restored(
        name="Restore",
        settings=settings,
        subject=subject,
        backup=name,
        replace=host.data.get("replace") in ("yes", True),
    )
