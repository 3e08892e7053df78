"""The server that the lab tests of backups stand on; its container comes as JSON."""

import json
import os

from uplift.operations import container
from uplift.spec.container import Container

block = json.loads(os.environ["UPLIFT_TEST_BACKUP"])
container.converged(name="InfluxDB", containers=[Container.parse(block, path="container")])
