"""Everything that a host of the inventory is to have, in the order in which it builds up.

pyinfra inventories/prod.py deploys/site.py
"""

from pyinfra import local

# First, because all that follows may be downloaded through a proxy whose CA this is.
local.include("deploys/certificates.py")
local.include("deploys/docker.py")
local.include("deploys/uv.py")
local.include("deploys/clients.py")
