"""Write the client files of hosts and users: .netrc, .npmrc, pip.conf, uv.toml and their kin.

pyinfra inventories/prod.py deploys/clients.py
"""

from pyinfra import host

from uplift.operations import clients
from uplift.settings import for_host, with_secrets
from uplift.spec.certificates import BUNDLE

settings = for_host(host)

if settings.clients:
    clients.present(
        name="Client files",
        settings=with_secrets(settings.clients),
        # With extra certificates, every client is pointed to the bundle that has them.
        ca_bundle=BUNDLE if settings.certificates.files else None,
    )
else:
    host.log("skipped: no block 'clients' in the group data")
