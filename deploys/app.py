"""Applications in two slots each, behind HAProxy: the blocks `haproxy` and `apps`.

pyinfra inventories/prod.py deploys/app.py
pyinfra inventories/prod.py deploys/app.py --data app=console --data tag=1.4.0-poetry
"""

from pyinfra import host

from uplift.given import apps_of, job_hosts
from uplift.operations import app, app_jobs, haproxy
from uplift.settings import for_host, with_secrets

settings = for_host(host)
chosen = [with_secrets(one) for one in apps_of(host)]
jobs_on = job_hosts(host)

if settings.haproxy:
    haproxy.configured(name="HAProxy", settings=with_secrets(settings.haproxy), apps=settings.apps)
if jobs_on:
    app_jobs.jobs_done(name="Jobs of applications", apps=chosen, on=jobs_on)
if chosen:
    app.deployed(name="Applications", apps=chosen, jobs_on=jobs_on)
elif settings.apps:
    host.log("skipped: this host does not have the application")
else:
    host.log("skipped: no applications in the group data")
