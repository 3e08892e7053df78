"""Keep the container of an InfluxDB; it publishes no port before its data are set up."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from pyinfra.api.command import PyinfraCommand
from pyinfra.context import host

from uplift.operations import container, http, influxdb_setup, job, script
from uplift.secrets import fingerprint_key, require, resolve
from uplift.spec.container import Container
from uplift.spec.container.image import Image
from uplift.spec.container.plan import Refused, plan
from uplift.spec.container.shape import found_shape, wanted_shape
from uplift.spec.container.state import State
from uplift.spec.http import Anonymous, Request
from uplift.spec.influxdb import InfluxDB, Server
from uplift.spec.influxdb.server import FOLDER, PORT
from uplift.spec.influxdb.server import container as container_of
from uplift.spec.influxdb.state import is_open

_STAYS = "its tokens and users may have been changed with it, through its API"

Steps = Generator[PyinfraCommand, None, bool | None]


def converge(settings: InfluxDB, server: Server) -> Steps:
    """Give what brings the container to what the settings say.

    Args:
        settings: what the server shall hold.
        server: its container.

    Returns:
        Whether anything was changed; None when the host has failed.
    """
    it = container_of(server, settings.setup.token)
    values, key = require([it]), fingerprint_key()
    state, changed = yield from container.settled([it], values)
    if state is None:
        return None
    try:
        todo = plan(it, state, values, key)
    except Refused as error:
        yield script.refuse(f"influxdb: {it.name}: {error}")
        return None
    if todo.action != "nothing" and not _is_set_up(it, state, todo.found):
        yield _set_up(settings, server, it, state, todo.found)
        state = container.read([it])
        if state is None:
            return None
    yield from container.converge([it], state, values, key, changed=changed, stays=_STAYS)
    return changed or todo.action != "nothing"


def _set_up(
    settings: InfluxDB, server: Server, it: Container, state: State, name: str | None
) -> PyinfraCommand:
    host.log(f"influxdb: {server.data}: looked at in a container without ports, and set up if new")
    found = state.containers[name] if name else None
    active = found is not None and found["State"].get("Status") in (
        "running",
        "restarting",
        "paused",
    )
    running = name if found is not None and active and _has_data(it, found, state) else None
    text = influxdb_setup.render_job(settings, server, it, state, resolve, running)
    id = job.identity("container", text, state.seen(it.name))
    return job.start(id, text, limit=1800 + 2 * (server.start_period + server.stop_timeout))


def _is_set_up(it: Container, state: State, name: str | None) -> bool:
    """Does a container run on the wanted data and say that they are set up?"""
    found = state.containers[name] if name else None
    if found is None or found["State"].get("Status") != "running":
        return False
    address = _own_address(found)
    if address is None or not _has_data(it, found, state):
        return False
    asked = [Request("GET", "/api/v2/setup", auth=Anonymous())]
    answers = http.send(host, asked, f"http://{address}:{PORT}", limit=30)
    if answers is None or answers.trouble:
        return False
    return is_open(answers.responses[0]) is False


def _has_data(it: Container, found: Mapping[str, Any], state: State) -> bool:
    """Does a container have the wanted data?"""
    image = state.images.get(found["Image"], Image(found["Image"])).config
    (wanted,) = (one for one in wanted_shape(it, image, {})["mounts"] if one[2] == FOLDER)
    return wanted in found_shape(found, image)["mounts"]


def _own_address(found: Mapping[str, Any]) -> str | None:
    """Return where the host reaches a container that need not publish a port."""
    if found["HostConfig"].get("NetworkMode") == "host":
        return "127.0.0.1"
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = (str((one or {}).get("IPAddress") or "") for one in networks.values())
    return next((address for address in addresses if address), None)
