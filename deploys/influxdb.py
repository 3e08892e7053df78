"""Run InfluxDB 2.7 with all that it shall hold, and bring its tokens to the hosts that need them.

pyinfra inventories/prod.py deploys/influxdb.py

A token that is replaced goes last, when a run without --limit has brought the new one everywhere.
"""

from pyinfra import host

from uplift.operations import influxdb
from uplift.settings import for_host, with_secrets

settings = for_host(host)

if settings.influxdb:
    influxdb.configured(name="InfluxDB", settings=with_secrets(settings.influxdb))
if settings.influxdb_client:
    influxdb.tokens_present(name="InfluxDB's tokens", settings=settings.influxdb_client)
if settings.influxdb:
    influxdb.old_tokens_absent(name="InfluxDB's old tokens", settings=settings.influxdb)
if not (settings.influxdb or settings.influxdb_client):
    host.log("skipped: no block 'influxdb' or 'influxdb_client' in the group data")
