"""Applications in two slots each, behind HAProxy: the blocks `haproxy` and `apps`.

pyinfra inventories/prod.py deploys/app.py
"""

from pyinfra import host

from uplift.operations import app, haproxy
from uplift.settings import for_host, with_secrets

settings = for_host(host)

if settings.haproxy:
    haproxy.configured(name="HAProxy", settings=with_secrets(settings.haproxy), apps=settings.apps)
if settings.apps:
    app.deployed(name="Applications", apps=[with_secrets(one) for one in settings.apps])
else:
    host.log("skipped: no applications in the group data")
