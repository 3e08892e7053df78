"""Install or adopt Docker Engine, and keep its configuration."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift import trust
from uplift.facts.docker import Docker as Engine
from uplift.facts.script import read_quietly
from uplift.operations import job, script
from uplift.spec.docker import Docker
from uplift.spec.docker_daemon import Refused
from uplift.spec.docker_plan import plan
from uplift.spec.docker_script import render
from uplift.spec.errors import SettingsError

TIME_LIMIT = 900
"""Seconds for the whole change; packages may have to be downloaded."""


@operation()
def installed(settings: Docker) -> Generator[StringCommand, None, None]:
    """Install Docker Engine where none is, and keep ``daemon.json`` and registry CAs as wanted.

    + settings: what ``daemon.json`` must hold, and whom registries are signed by

    An Engine that is there is adopted, never replaced. Keys of ``daemon.json`` that the settings
    do not name stay byte for byte. The daemon is reloaded or restarted only when what it runs
    with differs, and running containers live on, also the first time. The change is a job that
    goes on when the connection drops.

    **Example:**

    .. code:: python

        docker.installed(name="Docker Engine", settings=Docker(live_restore=True))
    """
    # daemon.json may hold a proxy's password.
    state = read_quietly(host, Engine)
    if state is None:
        return
    try:
        todo = plan(settings, trust.authorities(settings), state)
    except SettingsError as error:
        yield script.refuse(str(error), code=64)
        return
    except Refused as error:
        yield script.refuse(str(error))
        return
    if todo.empty:
        version = (state.info or {}).get("ServerVersion", "")
        host.noop(f"Docker Engine {version} runs as wanted")
        return
    text = render(todo, state, live_restore=settings.live_restore)
    done = f"Docker: {'; '.join(todo.why)}"
    script.announce(done, restarts=todo.restarts)
    yield job.start(job.identity("docker", text, state.seen()), text, limit=TIME_LIMIT)
    script.changed(done)
