"""What the lab tests of InfluxDB deploy: settings come as JSON in the environment."""

import json
import os

from uplift.operations import influxdb
from uplift.spec.influxdb import InfluxDB

settings = InfluxDB.parse(json.loads(os.environ["UPLIFT_TEST_INFLUXDB"]), path="influxdb")
influxdb.configured(name="InfluxDB", settings=settings, wait=90)
