"""The data of a Nexus as a host shows it, and what its own settings file shall say."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from uplift.spec.nexus import properties, tls
from uplift.spec.nexus.server import UID, Server
from uplift.spec.nexus.upgrade import Number, newest, number

FIRST = {
    # Else a new server has repositories of Maven and NuGet that nobody asked for.
    "nexus.skipDefaultRepositories": "true",
    # Else strangers read from the first start until the settings say who may (seen on 3.29.2).
    "nexus.security.default.anonymous": "false",
}
"""Properties of a server that has no data yet; later they have no effect."""

_HIDDEN = re.compile(r"pass(word|phrase)|secret|token|credential|://[^/\s]*@", re.IGNORECASE)


@dataclass(frozen=True)
class Data:
    """What is where the data shall be.

    Args:
        host_memory: of the host, in bytes.
        there: the volume or folder exists.
        owner: ``uid:gid`` of it.
        foreign: how many of its files and folders, two levels deep, are somebody else's.
        open: other users of the host can look into the folder, where the first password is.
        databases: what is below ``db``.
        used: a server has started on it.
        properties: bytes of ``nexus.properties`` as Latin-1; None when there is none. They may hold
            passwords, so they are never shown.
    """

    host_memory: int = 0
    there: bool = False
    owner: str = ""
    foreign: int = 0
    open: bool = False
    databases: frozenset[str] = frozenset()
    used: bool = False
    properties: str | None = field(default=None, repr=False)

    @property
    def owned(self) -> bool:
        """Tell whether the server, and nobody else, can use it; a missing volume will be right."""
        own = self.owner == f"{UID}:{UID}" and not self.foreign and not self.open
        return own or not self.there


@dataclass(frozen=True)
class Traces:
    """What says which version wrote the data.

    Args:
        serves: header ``Server`` of the running server.
        logged: lines of its logs that tell of a start.
        cached: names of the server's parts in its cache.
        image: labels and variables of the wanted image that name a version; empty when the host
            does not have it.
    """

    serves: str = ""
    logged: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    image: tuple[str, ...] = ()

    @property
    def current(self) -> Number | None:
        """Return the version of the data: what serves, else the newest that left a trace."""
        return number(self.serves) or newest((*self.logged, *self.cached))

    @property
    def wanted(self) -> Number | None:
        """Return the version that the wanted image says it is."""
        return newest(self.image)


def parse(lines: Iterable[str]) -> Data:
    """Read the lines of the fact's script that begin with ``nexus-``.

    Args:
        lines: all that it printed.

    Raises:
        ValueError: the lines are not the script's.
    """
    found = dict(line.partition(" ")[::2] for line in lines if line.startswith("nexus-"))
    text = found.get("nexus-properties")
    return Data(
        host_memory=int(found.get("nexus-memory") or 0) * 1024,
        there="nexus-owner" in found,
        owner=found.get("nexus-owner", ""),
        foreign=int(found.get("nexus-foreign") or 0),
        open=found.get("nexus-open") == "yes",
        databases=frozenset(found.get("nexus-databases", "").split()),
        used=found.get("nexus-used") == "yes",
        properties=None if text is None else base64.b64decode(text).decode("latin-1"),
    )


def parse_traces(lines: Iterable[str]) -> Traces:
    """Read the lines of the fact that looks for versions: a word and a version each.

    Args:
        lines: what its script printed.

    Raises:
        ValueError: the last line is missing.
    """
    found: dict[str, list[str]] = {}
    for line in lines:
        word, _, text = line.partition(" ")
        found.setdefault(word, []).append(text.strip())
    if "end" not in found:
        msg = "the script that looks for versions did not reach its end"
        raise ValueError(msg)
    serves = [text for text in found.get("serves", ()) if text]
    return Traces(
        serves=serves[-1] if serves else "",
        logged=tuple(found.get("logged", ())),
        cached=tuple(found.get("cached", ())),
        image=tuple(found.get("image", ())),
    )


def wanted_properties(server: Server, data: Data) -> dict[str, str | None]:
    """Return the keys of ``nexus.properties`` that are ours, as they shall be.

    Args:
        server: its settings.
        data: what is there.
    """
    there = properties.read(data.properties or "")
    own: dict[str, str | None] = {}
    # The server's default: a file that does not say it needs no line for it.
    if server.context_path != there.get("nexus-context-path", "/"):
        own["nexus-context-path"] = server.context_path
    first = {} if data.used else FIRST
    if server.tls:
        own |= tls.PROPERTIES
    elif there.get("ssl.etc") == tls.INSIDE:
        # Without its keystore the server would not start.
        own |= dict.fromkeys(tls.PROPERTIES)
    return {**first, **own, **server.properties}


@dataclass(frozen=True)
class File:
    """``nexus.properties`` as it shall be.

    Args:
        text: all of it, as Latin-1.
        before: sha256 of what it was read as; ``-`` when there was none.
        why: what changes; empty when nothing does.
    """

    text: str = field(repr=False)
    before: str
    why: tuple[str, ...] = ()

    @property
    def bytes(self) -> bytes:
        """Return what is written."""
        return self.text.encode("latin-1")

    @property
    def after(self) -> str:
        """Return the sha256 of what is written."""
        return hashlib.sha256(self.bytes).hexdigest()


def properties_file(server: Server, data: Data) -> File:
    """Merge our keys into what is there.

    Args:
        server: its settings.
        data: what is there.
    """
    wanted = wanted_properties(server, data)
    text = data.properties
    before = "-" if text is None else hashlib.sha256(text.encode("latin-1")).hexdigest()
    there = properties.read(text or "")
    why = tuple(
        f"nexus.properties: {key} {_shown(key, there)} -> {_shown(key, wanted)}"
        for key, value in wanted.items()
        if there.get(key) != value
    )
    return File(properties.merge(text or "", wanted), before, why)


def _shown(key: str, values: Mapping[str, str | None]) -> str:
    value = values.get(key)
    if value is None:
        return "none"
    # An address may hold a password as well as a key may name one.
    hidden = _HIDDEN.search(f"{key}={value}") and value not in ("true", "false")
    return "(hidden)" if hidden else repr(value)
