"""What the lab tests of the container of a Nexus deploy: settings come as JSON."""

import json
import os

from uplift.operations import nexus_server
from uplift.spec.nexus.server import Server

_GIVEN = json.loads(os.environ["UPLIFT_TEST_NEXUS"])

nexus_server.running(name="Nexus", server=Server.parse(_GIVEN, path="nexus.container"))
