"""What a host says about its applications beside their containers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from uplift.spec.app.adopted import Stranger
from uplift.spec.app.foreign import HostImage
from uplift.spec.app.release import Release
from uplift.spec.app.release import parse as parse_release
from uplift.spec.app.serving import SlotContainer, newest, served_with
from uplift.spec.app.steps import Journal
from uplift.spec.app.steps import parse as parse_journal
from uplift.spec.container.state import by_word
from uplift.spec.haproxy.backend import Backend
from uplift.spec.haproxy.backend import parse as parse_backends
from uplift.spec.haproxy.slots import active_slots, running_slots


@dataclass(frozen=True)
class AppState:
    """Traffic, releases and files of the applications of a host.

    Args:
        busy: unit of a job that still changes applications.
        active: slot that HAProxy's configuration names, by application.
        backends: how HAProxy's configuration reaches and checks what serves, by application.
        running: what the running HAProxy does with each slot: ready, drain or maint.
        releases: by application.
        files: sha256 of each file by name, by folder.
        broken: records that cannot be read, by application.
        held: files of secrets that the record of a release has, by `application/id`.
        images: of the host, whoever made them.
        journals: switches that did not come to their end, by application.
        listening: ports on which the host's loopback address accepts connections.
        room: kB that are free where images are kept; None where it cannot be told.
        strangers: containers that this tool did not make.
        containers: of the applications' slots, by name.
    """

    busy: str = ""
    active: Mapping[str, str] = field(default_factory=dict)
    backends: Mapping[str, Backend] = field(default_factory=dict)
    running: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    releases: Mapping[str, tuple[Release, ...]] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    held: Mapping[str, frozenset[str]] = field(default_factory=dict)
    images: tuple[HostImage, ...] = ()
    journals: Mapping[str, Journal] = field(default_factory=dict)
    # Both move by themselves: they say nothing of what was changed.
    listening: frozenset[int] = field(default=frozenset(), compare=False)
    room: int | None = field(default=None, compare=False)
    strangers: tuple[Stranger, ...] = ()
    containers: Mapping[str, SlotContainer] = field(default_factory=dict)

    def last(self, app: str) -> str:
        """Return the id of the newest record, readable or not, whatever became of it; or nothing.

        Args:
            app: name of the application.
        """
        readable = (one.id for one in self.releases.get(app, ()))
        return max([*readable, *self.broken.get(app, ())], default="")

    def current(self, app: str) -> Release | None:
        """Return the release that serves: that of the container in the slot that HAProxy names.

        After a switch that was interrupted it is the new one, once HAProxy names its slot.

        Args:
            app: name of the application.
        """
        releases = self.releases.get(app, ())
        journal = self.journals.get(app, Journal())
        if journal.release and journal.slot == self.active.get(app):
            for one in releases:
                if (one.id, one.outcome) == (journal.release, "started"):
                    return one
        return self.in_slot(app, self.active.get(app, ""))

    def in_slot(self, app: str, slot: str) -> Release | None:
        """Return the release that the container in a slot was made for.

        Where no record fits that container, nothing better is known than the newest good one.

        Args:
            app: name of the application.
            slot: blue or green; empty without a proxy.
        """
        releases = self.releases.get(app, ())
        there = self.containers.get(f"{app}-{slot}" if slot else app)
        found = served_with(there, releases) if there else None
        return found or newest(releases)


def parse(lines: Iterable[str]) -> AppState:
    """Read the lines of the fact's script.

    Args:
        lines: what the script printed.

    Raises:
        ValueError: the lines are not the script's.
    """
    found = by_word(lines, "applications")
    releases: dict[str, list[Release]] = {}
    broken: dict[str, list[str]] = {}
    for app, id, *texts in found.get("release", ()):
        record, outcome = (_text(text) for text in texts)
        try:
            releases.setdefault(app, []).append(parse_release(record, outcome))
        except (ValueError, KeyError):
            broken.setdefault(app, []).append(id)
    held: dict[str, set[str]] = {}
    for id, name in found.get("held", ()):
        held.setdefault(id, set()).add(name)
    files: dict[str, dict[str, str]] = {}
    for folder, digest, name in found.get("file", ()):
        files.setdefault(folder, {})[_text(name)] = digest
    return AppState(
        busy=" ".join(found.get("busy", [[]])[0]),
        active=active_slots(_one(found, "config")),
        backends=parse_backends(_one(found, "config")),
        running=running_slots(_one(found, "states")),
        releases={app: tuple(sorted(one, key=lambda it: it.id)) for app, one in releases.items()},
        files=files,
        images=tuple(map(_image, found.get("image", ()))),
        held={id: frozenset(names) for id, names in held.items()},
        broken={app: tuple(ids) for app, ids in broken.items()},
        journals={app: parse_journal(_text(text)) for app, text in found.get("journal", ())},
        listening=frozenset(map(_port, found.get("listening", ()))) - {0},
        strangers=_strangers(found),
        containers={
            name: SlotContainer(id, image, "".join(release))
            for name, id, image, *release in found.get("slot", ())
        },
        room=int(found["room"][0][0]) if found.get("room", [[]])[0] else None,
    )


def _strangers(found: Mapping[str, list[list[str]]]) -> tuple[Stranger, ...]:
    images = {one["Id"]: one for one in json.loads(_one(found, "their-images") or "[]")}
    containers = json.loads(_one(found, "strangers") or "[]")
    return tuple(Stranger(one, images.get(one["Image"], {})) for one in containers)


_HERE = (
    "00000000",
    "0100007F",
    "0" * 32,
    f"{'0' * 24}01000000",
    f"{'0' * 16}FFFF00000100007F",
)
"""Addresses in ``/proc/net/tcp*`` that cover the loopback address."""


def _port(values: list[str]) -> int:
    """Return the port of a line of ``/proc/net/tcp*``; 0 when it is another address's."""
    address, _, port = values[0].partition(":")
    return int(port, 16) if address in _HERE else 0


def _image(values: list[str]) -> HostImage:
    """Read one line: id, time, and tags, digests and labels as JSON; labels may hold blanks."""
    id, created, tags, digests, *labels = values
    known = json.loads(" ".join(labels)) or {}
    return HostImage(
        id=id,
        created=created,
        tags=tuple(json.loads(tags) or ()),
        digests=tuple(json.loads(digests) or ()),
        builder=known.get("io.uplift.builder", ""),
    )


def _one(found: Mapping[str, list[list[str]]], word: str) -> str:
    values = found.get(word, [[]])[0]
    return _text(values[0]) if values else ""


def _text(word: str) -> str:
    return "" if word == "-" else base64.b64decode(word, validate=True).decode()
