"""Deploy an application, or roll it back, as the data say."""

import os

from pyinfra import host

from uplift.operations import app, app_jobs, app_script, app_ways, container_script, haproxy
from uplift.settings import ending_pyinfra
from uplift.spec.app import App
from uplift.spec.haproxy import Haproxy

given = App.parse(host.data.get("the_app"), path="apps")
to = host.data.get("to")
os.environ |= host.data.get("the_secrets") or {}
# Something done at one point of the journal, of the switch or of its container.
app_script.MARK += host.data.get("the_point") or ""
container_script.MARK += host.data.get("the_mark") or ""

if to:
    with ending_pyinfra():
        app_ways.check_way_back(given, to, schema=host.data.get("schema") != "ignore")
    app.rolled_back(name="Roll back", app=given, to=to)
else:
    # A lab's host is reached at its own loopback address of the controller.
    settings = Haproxy.parse(host.data.get("the_haproxy"), path="haproxy")
    haproxy.configured(name="HAProxy", settings=settings, apps=[given])
    if given.jobs:
        app_jobs.jobs_done(name="Jobs", apps=[given])
    app.deployed(name="Application", apps=[given])
