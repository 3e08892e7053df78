"""What rollouts of tests do about Redis: settings of each host, as JSON in the environment."""

import json
import os

from pyinfra import host

from uplift.operations import redis
from uplift.spec.redis import Redis

block = json.loads(os.environ["UPLIFT_TEST_REDIS"])[host.name]
redis.configured(name="Redis", settings=Redis.parse(block, path="redis"))
