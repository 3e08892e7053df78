"""Nexus Repository 3 by its REST API: settings, what a server has, and the difference.

``models`` what stands in the group data (its parts in ``storage``, ``repositories`` and
``security``, checked against each other by ``check``), ``state`` what is asked of a server and what
its answers mean, ``things`` each object as the API has it, ``fields`` how two of them compare,
``refusals`` what stands against it, ``plan`` the writes (``realms``, ``tasks`` and ``prune`` are
parts of it), ``record`` what is remembered on the host, ``errors`` what is wrong in the server's
own words.
"""

from uplift.spec.nexus.errors import Refused
from uplift.spec.nexus.models import Nexus
from uplift.spec.nexus.plan import Plan, plan
from uplift.spec.nexus.state import NotYet, State
from uplift.spec.nexus.writes import Write

__all__ = ["Nexus", "NotYet", "Plan", "Refused", "State", "Write", "plan"]
