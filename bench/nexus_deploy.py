"""What bench/nexus.py deploys: the settings come as JSON in the environment."""

import json
import os

from uplift.operations import nexus
from uplift.spec.nexus import Nexus

given = json.loads(os.environ["UPLIFT_BENCH"])
nexus.configured(
    name="Nexus",
    settings=Nexus.parse(given["nexus"], path="nexus"),
    address=given["address"],
    container=given["container"],
)
