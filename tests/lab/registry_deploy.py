"""What the lab tests of images in a registry deploy: one container, as JSON in the environment."""

import json
import os

from uplift.operations import container
from uplift.spec.container import Container

block = json.loads(os.environ["UPLIFT_TEST_CONTAINER"])
container.converged(name="Container", containers=[Container.parse(block, path="container")])
