"""What the lab tests of Redis deploy: settings come as JSON in the environment."""

import json
import os

from uplift.operations import redis
from uplift.spec.redis import Redis

settings = Redis.parse(json.loads(os.environ["UPLIFT_TEST_REDIS"]), path="redis")
redis.configured(name="Redis", settings=settings)
