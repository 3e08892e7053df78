"""Go back to a release of an application as it was: image, settings, files, secrets.

pyinfra inventories/prod.py deploys/rollback.py --data app=console --data to=poetry
"""

from pyinfra import host

from uplift.given import app_named, check_names, pinned, word
from uplift.operations import app, app_ways
from uplift.settings import ending_pyinfra

check_names(host)
chosen = app_named(host, word(host, "app"))
to = word(host, "to", default="previous")
schema = word(host, "schema", default="ask") != "ignore"
images = pinned(host)

if chosen:
    # On every host, before the first is touched.
    with ending_pyinfra():
        app_ways.check_way_back(chosen, to, schema=schema, pinned=images)
    name = f"Roll back {chosen.name} to {to}"
    app.rolled_back(name=name, app=chosen, to=to, pinned=images)
else:
    host.log("skipped: this host does not have the application")
