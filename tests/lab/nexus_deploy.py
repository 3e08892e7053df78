"""What the lab tests of Nexus deploy: settings come as JSON in the environment."""

import json
import os

from uplift.operations import nexus
from uplift.spec.nexus import Nexus

settings = Nexus.parse(json.loads(os.environ["UPLIFT_TEST_NEXUS"]), path="nexus")
nexus.configured(
    name="Nexus",
    settings=settings,
    address=os.environ["UPLIFT_TEST_NEXUS_ADDRESS"],
    container=os.environ["UPLIFT_TEST_NEXUS_CONTAINER"],
    wait=int(os.environ["UPLIFT_TEST_NEXUS_WAIT"]),
)
