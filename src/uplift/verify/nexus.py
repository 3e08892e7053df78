"""What a Nexus holds, asked from its host and compared as a deploy compares it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from uplift.facts.http import Sent
from uplift.operations.http import answers
from uplift.secrets import Secret, SecretRef, fingerprint_key
from uplift.spec.http import Basic, render
from uplift.spec.nexus import Nexus, Refused, State, plan
from uplift.spec.nexus.record import load, path
from uplift.spec.nexus.state import requests, understand

if TYPE_CHECKING:
    from testinfra.host import Host

_NO_COMMAND = 127


def address(settings: Nexus) -> str:
    """Return where the server's host reaches it.

    Args:
        settings: of the server.
    """
    return settings.container.url if settings.container else settings.address


def differences(host: Host, settings: Nexus, values: Mapping[SecretRef, Secret]) -> tuple[str, ...]:
    """Return what a deploy would change, a line for each object; it writes nothing.

    Args:
        host: where the server is.
        settings: what it shall hold.
        values: of the secrets.
    """
    where = address(settings).rstrip("/")
    way = settings.container.way if settings.container else None
    asked = requests(settings, values.__getitem__)
    auth = Basic("admin", values[settings.admin.password])
    config = render(list(asked.values()), where, auth, way=way)
    said = host.run("curl -q --config -", stdin=Secret(config))
    sent = Sent(curl=said.rc != _NO_COMMAND, raw=said.stdout.encode(), code=said.rc)
    given = answers(sent, list(asked.values()))
    if given.trouble:
        return (f"{where}: {given}",)
    remembered = host.run("cat -- %s", path(where, way.connect if way else ""))
    record = load(remembered.stdout if remembered.rc == 0 else "")
    try:
        state = understand(settings, asked, given.responses, record)
        if not isinstance(state, State):
            return (f"{where}: {state.value}",)
        return tuple(plan(settings, values.__getitem__, state, fingerprint_key()).lines)
    except Refused as error:
        return tuple(str(error).splitlines())
