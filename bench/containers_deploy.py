"""What bench/containers.py deploys: the work comes as JSON in the environment."""

import json
import os

from uplift.operations import container, redis
from uplift.spec.container import Container
from uplift.spec.redis import Redis

work = json.loads(os.environ["UPLIFT_BENCH"])

if "redis" in work:
    redis.configured(name="Redis", settings=Redis.parse(work["redis"], path="redis"))
if "containers" in work:
    container.converged(
        name="Containers",
        containers=[Container.parse(one, path="containers") for one in work["containers"]],
    )
