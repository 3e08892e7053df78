"""What the lab tests of built images deploy: a block, as JSON in the environment."""

import json
import os

from uplift.operations import images
from uplift.spec.images import Images

block = json.loads(os.environ["UPLIFT_TEST_IMAGES"])
images.built(name="Images", settings=Images.parse(block, path="images"))
