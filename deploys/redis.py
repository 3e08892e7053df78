"""Redis in a container, behind a password: the block `redis` of the group data.

pyinfra inventories/prod.py deploys/redis.py
"""

from pyinfra import host

from uplift.operations import redis
from uplift.settings import for_host, with_secrets

settings = for_host(host).redis

if settings:
    redis.configured(name="Redis", settings=with_secrets(settings))
else:
    host.log("skipped: no block 'redis' in the group data")
