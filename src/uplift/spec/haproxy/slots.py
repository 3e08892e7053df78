"""Which slot of each application serves: as the configuration names it, and as HAProxy does it."""

from __future__ import annotations

import re

from uplift.spec.app.models import SLOTS

_SERVER = re.compile(r"\s+server\s+(\S+)\s+\S+(.*)")


def active_slots(config: str) -> dict[str, str]:
    """Return which slot of each backend a configuration names: the one that is not disabled.

    Args:
        config: text of ``haproxy.cfg``.
    """
    found: dict[str, str] = {}
    backend = ""
    for line in config.splitlines():
        if line and not line[0].isspace():
            words = line.split()
            backend = words[1] if words[0] == "backend" and len(words) > 1 else ""
        else:
            match = _SERVER.fullmatch(line)
            serves = match is not None and "disabled" not in match[2].split()
            if backend and match and serves and match[1] in SLOTS:
                found[backend] = match[1]
    return found


def running_slots(states: str) -> dict[str, dict[str, str]]:
    """Return what the running HAProxy does with each server: ready, drain or maint.

    Args:
        states: answer of ``show servers state`` (HAProxy's management guide, 9.3).
    """
    found: dict[str, dict[str, str]] = {}
    for line in states.splitlines():
        words = line.split()
        # be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state …
        if len(words) > 6 and words[0].isdecimal():
            admin = int(words[6])
            # Maintenance by configuration (0x04) stays noted in a server that was made ready.
            word = "maint" if admin & 0x63 else "drain" if admin & 0x18 else "ready"
            found.setdefault(words[1], {})[words[3]] = word
    return found
