"""The deploy file of a revert: each host goes back to what it was when the run began.

pyinfra's command line runs it like any other deploy file, once for each host. An operation that
fails leaves the next ones to be tried: who called looks at what is back.
"""

import json
import os

from pyinfra.context import host

from uplift.facts.kept import KeptOf
from uplift.facts.script import read_quietly
from uplift.operations import app, container, kept, uv
from uplift.rollout.names import BACK
from uplift.settings import for_host

settings = for_host(host)
before = json.loads(os.environ[BACK])[host.name]
run = before["run"]
found = read_quietly(host, KeptOf, run=run)

# Files first: what starts again reads them.
if found and found.files:
    kept.restored(name="Put back files", run=run, _ignore_errors=True)
for one in found.containers if found else ():
    if not one.stays:
        name = f"Put back the container {one.name}"
        container.as_before(name=name, container=one.name, run=run, _ignore_errors=True)
if settings.uv and before.get("uv"):
    known = settings.uv.model_copy(update={"version": before["uv"]})
    uv.installed(name=f"Put back uv {known.version}", settings=known)
for given in settings.apps:
    if release := before.get("apps", {}).get(given.name):
        app.rolled_back(name=f"Put back {given.name} to {release}", app=given, to=release)
