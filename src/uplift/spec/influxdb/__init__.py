"""InfluxDB 2.7 by its REST API: settings, what a server has, and the difference.

``models`` what stands in the group data, ``duration`` lengths of time, ``state`` what is asked of
a server and what its answers mean, ``plan`` the writes that are needed, ``errors`` what is wrong
in the server's own words.
"""

from uplift.spec.influxdb.errors import Refused
from uplift.spec.influxdb.models import Bucket, InfluxDB, Setup, Token, User
from uplift.spec.influxdb.plan import Plan, Write, plan
from uplift.spec.influxdb.state import State, TokenFile

__all__ = [
    "Bucket",
    "InfluxDB",
    "Plan",
    "Refused",
    "Setup",
    "State",
    "Token",
    "TokenFile",
    "User",
    "Write",
    "plan",
]
