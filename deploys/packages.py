"""Publish packages to the repositories of an index server.

pyinfra inventories/prod.py deploys/packages.py
"""

from pyinfra import host

from uplift.operations import packages
from uplift.settings import for_host, with_secrets

settings = for_host(host).packages

if settings is None:
    host.log("skipped: no block 'packages' in the group data")
else:
    packages.published(name="Packages", settings=with_secrets(settings))
