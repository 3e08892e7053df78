"""What a host says about its HAProxy, and what is done about it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from uplift.spec.container import listening
from uplift.spec.container.state import by_word
from uplift.spec.haproxy import backend
from uplift.spec.haproxy.backend import Backend
from uplift.spec.haproxy.models import CONFIG, Haproxy
from uplift.spec.haproxy.ports import taken
from uplift.spec.haproxy.slots import active_slots


@dataclass(frozen=True)
class HaproxyState:
    """HAProxy as it is on a host.

    Args:
        busy: unit of a job that still changes it.
        apt: the host installs packages with apt.
        missing: packages.
        config: text of ``haproxy.cfg``, or None.
        original: it is the distribution's own.
        page: the maintenance page, or None.
        modes: of the configuration and the page, by path, as far as they are there.
        certificates: mode and salted sha256 by file.
        active: the unit runs.
        enabled: the unit starts with the host.
        cut_off: a change wrote its files, and did not come to load them.
        listeners: who listens on the host's ports; nobody where it cannot say so.
    """

    busy: str = ""
    apt: bool = True
    missing: tuple[str, ...] = ()
    config: str | None = None
    original: bool = False
    page: str | None = None
    modes: Mapping[str, str] = field(default_factory=dict)
    certificates: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    active: bool = False
    enabled: bool = False
    cut_off: bool = False
    # Of most of them HAProxy wants nothing: what comes and goes there makes no plan an old one.
    listeners: tuple[listening.Listener, ...] = field(default=(), compare=False, repr=False)

    @property
    def slots(self) -> dict[str, str]:
        """Return which slot of each application the configuration names."""
        return active_slots(self.config or "")

    @property
    def backends(self) -> dict[str, Backend]:
        """Return the backends of the applications that serve: a switch changes them, with it."""
        found = backend.parse(self.config or "")
        return {name: one for name, one in found.items() if name in self.slots}


def parse(lines: Iterable[str]) -> HaproxyState:
    """Read the lines of the fact's script.

    Args:
        lines: what the script printed.

    Raises:
        ValueError: the lines are not the script's.
    """
    found = by_word(lines, "HAProxy")
    missing = [name for name, *status in found["package"] if status != ["installed"]]
    original, now = found.get("original", [[]])[0], found.get("sum", [[]])[0]
    unit = found["unit"][0]
    return HaproxyState(
        busy=" ".join(found.get("busy", [[]])[0]),
        apt=bool(found["apt"][0]),
        missing=tuple(missing),
        config=_text(found, "config"),
        original=bool(original) and original == now,
        page=_text(found, "page"),
        modes=dict(found.get("mode", ())),
        certificates={name: (mode, digest) for name, mode, digest in found.get("certificate", ())},
        active="active" in unit,
        enabled="enabled" in unit,
        cut_off="changing" in found,
        listeners=tuple(listening.parse(_text(found, "listening") or "")),
    )


def _text(found: Mapping[str, list[list[str]]], word: str) -> str | None:
    if word not in found:
        return None
    return base64.b64decode("".join(found[word][0]), validate=True).decode(errors="replace")


class Refused(Exception):
    """Say why HAProxy is left as it is, and what to do."""


@dataclass(frozen=True)
class Todo:
    """What is done about HAProxy.

    Args:
        why: what differs, for people; empty when nothing does.
        install: packages that are missing.
        foreign: a configuration of somebody else's is kept beside the new one.
        restarts: what is loaded anew; open connections live on.
    """

    why: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    foreign: bool = False
    restarts: tuple[str, ...] = ()


OURS = "# Written by uplift"


def plan(
    settings: Haproxy,
    state: HaproxyState,
    config: str,
    page: str,
    certificates: Mapping[str, str],
    salt: str,
) -> Todo:
    """Compare HAProxy with the settings and say what to do.

    Args:
        settings: of HAProxy.
        state: of the host.
        config: as wanted.
        page: as wanted.
        certificates: text by file, as wanted; secret.
        salt: that the fact's hashes begin with.

    Raises:
        Refused: it would take away what somebody else configured, or cannot be installed, or a port
            is somebody else's.
    """
    if state.busy:
        msg = f"a change is still running as {state.busy}: run again when it has ended"
        raise Refused(msg)
    if state.missing and not state.apt:
        msg = f"install {' and '.join(state.missing)}: this host has no apt"
        raise Refused(msg)
    found = state.config
    foreign = bool(found) and not state.original and not (found or "").startswith(OURS)
    if foreign and not settings.replace:
        msg = (
            f"{CONFIG} is somebody else's: set haproxy.replace to True, and it is kept as "
            f"{CONFIG}.before-uplift, or remove it"
        )
        raise Refused(msg)
    wanted = {
        name: ("400", hashlib.sha256(f"{salt}{text}".encode()).hexdigest())
        for name, text in certificates.items()
    }
    why = [f"{package} installed" for package in state.missing]
    why += ["configuration"] if config != found else []
    why += ["maintenance page"] if page != state.page else []
    why += [
        f"certificate {name}" for name in wanted if wanted[name] != state.certificates.get(name)
    ]
    why += [f"certificate {name} removed" for name in state.certificates if name not in wanted]
    why += [] if state.active and state.enabled else ["started"]
    # Its files are as wanted, and perhaps nobody has checked them, or what runs has not read them.
    why += ["loaded, which a change that was cut off had left out"] if state.cut_off else []
    if why:
        _check_ports(state, config)
    restarts = ("haproxy (reloaded)",) if why and state.active else ()
    return Todo(tuple(why), state.missing, foreign, restarts)


def _check_ports(state: HaproxyState, config: str) -> None:
    """Refuse a port that somebody else has: HAProxy would not start, or not load it."""
    running = (state.config or "") if state.active else ""
    if found := taken(config, state.listeners, running):
        who = ", ".join(str(one) for one in found)
        msg = f"ports: somebody else listens on {who}; nothing was touched"
        raise Refused(msg)
