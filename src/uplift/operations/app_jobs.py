"""Run the jobs of applications once for the whole inventory, before anything is switched."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Mapping, Sequence

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.app import Jobs
from uplift.facts.script import read_quietly
from uplift.operations import container, job, script
from uplift.operations.app_script import files_of
from uplift.operations.app_ways import whole
from uplift.operations.container_script import render
from uplift.secrets import require
from uplift.spec.app.jobs import JobsState, folder, run_of
from uplift.spec.app.models import App, Job
from uplift.spec.container.diff import Values
from uplift.spec.container.image import Resolved
from uplift.spec.container.plan import Plan
from uplift.spec.container.state import State
from uplift.spec.errors import UpliftError


@operation()
def jobs_done(
    apps: Sequence[App], on: Mapping[str, str] | None = None
) -> Generator[StringCommand, None, None]:
    """Run the jobs of applications that have not been run for their image.

    + apps: whose jobs
    + on: name of the host that runs them, by application; each host its own when it is left out

    Each job is a container of the new image, with all that the application has. It runs once for
    the whole inventory: what is done is kept on the host that runs it, with its output, and a run
    that was interrupted is gone on with. When one fails, nothing is switched anywhere.

    **Example:**

    .. code:: python

        app_jobs.jobs_done(name="Jobs", apps=[console], on={"console": "app-1"})
    """
    mine = [one for one in apps if one.jobs and (on or {}).get(one.name, host.name) == host.name]
    if not mine:
        host.noop("jobs run on another host, or there are none")
        return
    try:
        ready = whole(mine)
        values = require(list(ready))
    except UpliftError as error:
        yield script.refuse(f"apps: {error}", code=int(error.exit_code))
        return
    state = container.read([one.container("blue") for one in ready])
    found = read_quietly(host, Jobs, apps=[one.name for one in ready])
    if state is None or found is None:
        return
    if not state.docker:
        # No image is known then.
        yield script.refuse(f"uplift: {mine[0].name}: {_NO_DOCKER}")
        return
    changed = False
    for one in ready:
        resolved = state.resolved[one.image]
        if problem := _problem(one, found, state, resolved):
            yield script.refuse(f"uplift: {one.name}: {problem}")
            return
        for due in found.open(one, resolved):
            changed = True
            script.announce(f"{one.name}: job {due.name} for {resolved.words}")
            text = _text(one, due, state, values)
            id = job.identity("jobs", text, run_of(one, due, resolved))
            yield job.start(id, text, limit=due.timeout + 2400)
            script.changed(f"{one.name}: job {due.name} is done")
    if not changed:
        host.noop("all jobs have been done for these images")


_NO_DOCKER = "there is no Docker Engine that answers on this host: deploys/docker.py installs one"


def _problem(app: App, found: JobsState, state: State, resolved: Resolved) -> str:
    if found.busy:
        return f"a job is still running as {found.busy}: run again when it has ended"
    if resolved.how == "failed" or (resolved.trouble and resolved.how == "digest"):
        return f"image {app.image}: {resolved.trouble}; nothing was touched"
    return ""


def undone(app: App, resolved: Resolved, on: Mapping[str, str]) -> str:
    """Return why an application may not be switched yet: its jobs; empty when they are done.

    Asked while a run changes hosts, of the host that runs the jobs, also when that is not among
    those that ``--limit`` selects.

    Args:
        app: whose.
        resolved: its image.
        on: name of the host that runs the jobs, by application.
    """
    if not app.jobs or not host.state.is_executing:
        return ""
    name = on.get(app.name, host.name)
    there = host.inventory.get_host(name)
    found = _asked(there, app)
    if found is None:
        return f"{name} could not be asked whether jobs are done; nothing was switched"
    if due := found.open(app, resolved):
        names = ", ".join(one.name for one in due)
        return (
            f"job {names} has not been done on {name} for this image; nothing was switched: "
            "deploy there first, or let apps.jobs_on name another host"
        )
    return ""


def _asked(there: Host, app: App) -> JobsState | None:
    if there is not host and not there.connected:
        try:
            there.connect(reason="to ask for jobs", raise_exceptions=True)
        except ConnectError:
            return None
    found: JobsState | None = there.get_fact(Jobs, apps=[app.name])
    return found


def _text(app: App, due: Job, state: State, values: Values) -> str:
    it = app.job(due)
    head = {
        "jobs": folder(app),
        "mine": f"{folder(app)}/{run_of(app, due, state.resolved[app.image])}",
        "job_limit": str(due.timeout),
        "files": "yes" if app.files else "",
        "own_folder": app.folder,
    }
    variables = "".join(f"{key}={shlex.quote(value)}\n" for key, value in head.items())
    text = render(it, Plan("nothing"), state, values, then=_JOB)
    return f"{variables}{files_of(app)}{text}"


# The container's id is written down before it starts: a run that was interrupted is gone on with,
# and its exit code taken, rather than begun again.
_JOB = r"""
mkdir -p "$jobs" "$mine"; chmod 0700 "$jobs" "$mine"
exec 6>"$jobs/.lock"
flock -w "$job_limit" 6 || { headline "FAILED: another job of this application runs"; exit 1; }
[ "$(cat "$mine/rc" 2>/dev/null)" != 0 ] || { headline "has been done by another run"; exit 0; }
[ -z "$files" ] || [ -d "$own_folder" ] || (umask 022; own_files)
made() {
  rm -f "$mine/rc" "$mine/container"
  dk rm -f "$name" >/dev/null 2>&1 || :
  firmly do_pull && firmly do_create && firmly do_secrets && call "$new" "$name" &&
    printf '%s\n' "$new" >"$mine/container.new" && sync "$mine/container.new" &&
    mv "$mine/container.new" "$mine/container"
}
new=$(id_of "$name") || new=
if [ -n "$new" ] && [ "$(cat "$mine/container" 2>/dev/null)" = "$new" ]; then
  note "a run that was interrupted is gone on with"
else made || { headline "FAILED before it began: $(why)"; exit 1; }; fi
case $(status "$new") in created) firmly dk start "$new" ||
  { headline "FAILED to start: $(why)"; exit 1; } ;; esac
end=$(($(now) + job_limit)); rc=
while [ "$(now)" -lt "$end" ]; do
  # Cut off when the daemon is restarted, and asked again.
  rc=$(limit=$((end - $(now) + 1)); dk wait "$new" 2>/dev/null) && [ -n "$rc" ] && break
  rc=; up || :; sleep 1
done
[ -n "$rc" ] || { (limit=60; dk stop "$new") >/dev/null; rc=124
  note "it did not end within $job_limit s, and was stopped"; }
dk logs "$new" 2>&1 | masked >"$mine/log"
printf '%s\n' "$rc" >"$mine/rc.new"; sync "$mine/rc.new" "$mine/log"; mv "$mine/rc.new" "$mine/rc"
dk rm -f "$new" >/dev/null || :
rm -rf "$secrets" "$secrets--previous" "$mine/container"
if [ "$rc" != 0 ]; then
  headline "FAILED with exit code $rc; nothing is switched. Its output, kept in $mine/log:"
  tail -n 50 "$mine/log" | sed 's/^/  | /'; exit 1
fi
# Runs for images that are gone are of no use; the newest twenty stay to be read.
ls -1dt "$jobs"/*/ | tail -n +21 | while read -r one; do rm -rf "$one"; done
headline "exit code 0; output in $mine/log"
"""
