"""Install what hosts need to install packages: npm, Poetry and their kin.

pyinfra inventories/prod.py deploys/tools.py
"""

from pyinfra import host

from uplift.operations import tools
from uplift.settings import for_host

settings = for_host(host).tools

if settings:
    tools.installed(name="Tools", settings=settings)
else:
    host.log("skipped: no block 'tools' in the group data")
