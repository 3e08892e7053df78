"""InfluxDB 2.7 by its REST API: settings, what a server has, and the difference.

``models`` what stands in the group data, ``duration`` lengths of time, ``state`` what is asked of
a server and what its answers mean, ``plan`` the writes that are needed, ``tokens`` their part
about tokens, ``errors`` what is wrong in the server's own words, ``server`` the container, and
``client`` the tokens that other hosts need.
"""

from uplift.spec.influxdb.client import ClientToken, InfluxDBClient
from uplift.spec.influxdb.errors import Refused
from uplift.spec.influxdb.models import Bucket, InfluxDB, Setup, Token, User
from uplift.spec.influxdb.plan import Plan, plan
from uplift.spec.influxdb.server import Server
from uplift.spec.influxdb.state import State, TokenFile
from uplift.spec.influxdb.writes import Write

__all__ = [
    "Bucket",
    "ClientToken",
    "InfluxDB",
    "InfluxDBClient",
    "Plan",
    "Refused",
    "Server",
    "Setup",
    "State",
    "Token",
    "TokenFile",
    "User",
    "Write",
    "plan",
]
