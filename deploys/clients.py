"""Client files of hosts and their users: .netrc, .npmrc, pip.conf, .pypirc, uv.toml, config.json."""

from pyinfra.context import host

from uplift.operations import clients
from uplift.settings import for_host
from uplift.spec.certificates import BUNDLE

settings = for_host(host)

if settings.clients:
    clients.present(
        name="Client files",
        settings=settings.clients,
        # With extra certificates, every client is pointed to the bundle that has them.
        ca_bundle=BUNDLE if settings.certificates.files else None,
    )
