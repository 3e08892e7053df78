"""Back up what the block `backups` of the group data names: on its schedule, and on request.

pyinfra inventories/prod.py deploys/backup.py                           # the schedules
pyinfra inventories/prod.py deploys/backup.py --data subject=influxdb   # and a backup now
"""

from pyinfra import host

from uplift.operations import backup
from uplift.settings import for_host, with_secrets

settings = for_host(host).backups
subject = host.data.get("subject")

if settings is None:
    host.log("skipped: no block 'backups' in the group data")
else:
    backup.scheduled(name="Backup schedules", settings=with_secrets(settings))
    if subject:
        backup.taken(name=f"Backup of {subject}", settings=settings, subject=subject)
