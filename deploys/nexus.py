"""A Nexus in a container, configured by its REST API: the block `nexus` of the group data.

pyinfra inventories/prod.py deploys/nexus.py
"""

from pyinfra import host

from uplift.operations import nexus, nexus_server
from uplift.settings import for_host, with_secrets

settings = for_host(host).nexus

if settings is None:
    host.log("skipped: no block 'nexus' in the group data")
elif settings.container is None:
    nexus.configured(name="Nexus", settings=with_secrets(settings), address=settings.address)
else:
    settings, server = with_secrets(settings), settings.container
    nexus_server.running(name="Nexus", server=server)
    nexus.configured(
        name="Nexus, configured",
        settings=settings,
        address=server.url,
        container=server.name,
        way=server.way,
    )
