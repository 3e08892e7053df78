"""Everything that a host of the inventory is to have, in the order in which it builds up.

pyinfra inventories/prod.py deploys/site.py
"""

from pyinfra import host, local

from uplift.operations import app, container
from uplift.settings import for_host

# A wrong folder is refused before any part of the site is looked for.
settings = for_host(host)

# First, because all that follows may be downloaded through a proxy whose CA this is.
local.include("deploys/certificates.py")
local.include("deploys/docker.py")
local.include("deploys/uv.py")
# Before the clients, which log in to it: a password that was changed goes to both in one run.
local.include("deploys/registry.py")
local.include("deploys/nexus.py")
local.include("deploys/clients.py")
# After the clients: tools come from the index that those name.
local.include("deploys/tools.py")
local.include("deploys/packages.py")
local.include("deploys/redis.py")
local.include("deploys/influxdb.py")
# After the services whose data it is.
local.include("deploys/backup.py")
# Applications are deployed by deploys/app.py, when a release is due.
container.remember_names(app.containers(settings.apps))
# The last: it names what uplift made here and no deploy above has named.
container.orphans_listed(name="Containers that no settings name")
