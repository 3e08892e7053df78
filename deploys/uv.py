"""Install the pinned uv.

pyinfra inventories/prod.py deploys/uv.py
"""

from pyinfra import host

from uplift.operations import uv
from uplift.settings import for_host

settings = for_host(host).uv
if settings:
    uv.installed(name=f"uv {settings.version}", settings=settings)
else:
    host.log("skipped: no block 'uv' in the group data")
