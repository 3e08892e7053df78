"""What the lab tests of TLS in a Nexus deploy, as deploys/nexus.py does: settings come as JSON."""

import json
import os

from uplift.operations import certificates, nexus, nexus_server
from uplift.spec.certificates import Certificates
from uplift.spec.nexus import Nexus

settings = Nexus.parse(json.loads(os.environ["UPLIFT_TEST_NEXUS"]), path="nexus")
trusted = Certificates(own_ca=os.environ["UPLIFT_TEST_TRUSTED"] == "yes")
server = settings.container
assert server is not None

certificates.trusted(name="Certificates", settings=trusted)
nexus_server.running(name="Server", server=server)
nexus.configured(
    name="Nexus",
    settings=settings,
    address=server.url,
    container=server.name,
    way=server.way,
    wait=1500,
)
