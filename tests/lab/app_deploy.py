"""Deploy an application, or roll it back, as the data say."""

import os

from pyinfra import host

from uplift.operations import app, haproxy
from uplift.settings import ending_pyinfra
from uplift.spec.app import App
from uplift.spec.haproxy import Haproxy

given = App.parse(host.data.get("the_app"), path="apps")
to = host.data.get("to")
os.environ |= host.data.get("the_secrets") or {}

if to:
    with ending_pyinfra():
        app.check_way_back(given, to)
    app.rolled_back(name="Roll back", app=given, to=to)
else:
    # A lab's host is reached at its own loopback address of the controller.
    settings = Haproxy.parse({"binds": [{"address": "*", "port": 80}]}, path="haproxy")
    haproxy.configured(name="HAProxy", settings=settings, apps=[given])
    app.deployed(name="Application", apps=[given])
