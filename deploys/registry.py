"""A container registry with users and TLS: the block `registry` of the group data.

pyinfra inventories/prod.py deploys/registry.py
"""

from pyinfra import host

from uplift.operations import registry
from uplift.settings import for_host, with_secrets

settings = for_host(host).registry

if settings:
    registry.present(name="Registry", settings=with_secrets(settings))
else:
    host.log("skipped: no block 'registry' in the group data")
