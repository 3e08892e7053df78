"""The deploy file of a revert: each host goes back to what it served when the run began.

pyinfra's command line runs it like any other deploy file, once for each host.
"""

import json
import os

from pyinfra.context import host

from uplift.operations import app, uv
from uplift.rollout.names import BACK
from uplift.settings import for_host

settings = for_host(host)
before = json.loads(os.environ[BACK])[host.name]

if settings.uv and before.get("uv"):
    known = settings.uv.model_copy(update={"version": before["uv"]})
    uv.installed(name=f"Put back uv {known.version}", settings=known)
for one in settings.apps:
    if release := before.get("apps", {}).get(one.name):
        app.rolled_back(name=f"Put back {one.name} to {release}", app=one, to=release)
