"""What a host keeps of a run, to go back: files and containers as they were before it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from uplift.spec.container.record import Recorded
from uplift.spec.container.state import by_word

RUNS = "/var/lib/uplift/runs"
"""The records of runs on a host; what one keeps is in a folder of its id, root's alone."""

RUN = "UPLIFT_RUN"
"""Environment variable with the id of the run whose operations keep what was before them."""

ABSENT = "absent"
NONE = "none"
"""Stands for a state that was not written down."""


@dataclass(frozen=True)
class KeptFile:
    """A file that a run may have written. A state is ``absent``, ``SHA256:MODE:UID:GID``, or a
    word for what is no file.

    Args:
        id: of what is kept.
        path: of the file.
        before: its state before the run's first change.
        after: the same after its last one; ``none`` when that was cut short.
        now: the same when it was read.
        between: somebody changed it between two changes of the run.
    """

    id: str
    path: str
    before: str
    after: str
    now: str
    between: bool = False

    @property
    def is_back(self) -> bool:
        """Return whether it is as it was before the run."""
        return self._is_known and self.now == self.before

    @property
    def _is_known(self) -> bool:
        return self.before == ABSENT or ":" in self.before

    @property
    def stays(self) -> str:
        """Return why it cannot be put back; empty when it can, or is."""
        if self.is_back:
            return ""
        if not self._is_known:
            return f"it was no file of its own before the run ({self.before}), and was not kept"
        if self.after == NONE:
            return "writing it was cut short: whether somebody changed it since is not known"
        if self.between or self.now != self.after:
            return "somebody changed it after the run had written it"
        return ""


@dataclass(frozen=True)
class KeptContainer:
    """A container that a run may have changed.

    Args:
        name: of the container.
        stays: why it is not brought back by itself; empty when it is.
        recorded: how it was before the run, and how it is now.
        same_secrets: its secret files are those of before.
    """

    name: str
    stays: str
    recorded: Recorded
    same_secrets: bool = True

    @property
    def was_there(self) -> bool:
        """Return whether there was such a container before the run."""
        return self.recorded.container is not None

    @property
    def is_back(self) -> bool:
        """Return whether it is as it was before the run."""
        if not self.was_there:
            return self.recorded.now is None
        return self.recorded.is_back and self.same_secrets


@dataclass(frozen=True)
class Kept:
    """All that a host keeps of a run; nothing when the run changed nothing that is kept.

    Args:
        files: in the order of their paths.
        containers: in the order of their names.
        followed: what has to follow when files are back was done.
    """

    files: tuple[KeptFile, ...] = ()
    containers: tuple[KeptContainer, ...] = ()
    followed: bool = True

    @property
    def lasting(self) -> tuple[str, ...]:
        """Return what is not as it was before the run, each with the reason."""
        files = (
            f"{one.path}: {one.stays or 'could not be written'}"
            for one in self.files
            if not one.is_back
        )
        containers = (
            f"container {one.name}: {one.stays or 'could not be brought back'}"
            for one in self.containers
            if one.stays or not one.is_back
        )
        return (*files, *containers)


def parse(lines: Iterable[str]) -> Kept:
    """Read the lines of the fact's script: a word and its values.

    Args:
        lines: what the script printed.

    Raises:
        ValueError: the lines are not the script's.
    """
    found = by_word(lines, "what is kept of a run")
    files = tuple(_file(values) for values in found.get("file", ()))
    docker = found.get("docker", [["no"]])[0] == ["yes"]
    busy = " ".join(found.get("busy", [[]])[0])
    return Kept(
        tuple(sorted(files, key=lambda one: one.path)),
        tuple(
            _container(values, docker=docker, busy=busy) for values in found.get("container", ())
        ),
        found.get("followed", [["yes"]])[0] == ["yes"],
    )


def _file(values: list[str]) -> KeptFile:
    id, path, before, after, now, between = values
    return KeptFile(id, _text(path), before, after, now, between == "yes")


def _container(values: list[str], *, docker: bool, busy: str) -> KeptContainer:
    name, same, journal, stays, record, now = values
    known: Mapping[str, Any] = json.loads(_text(record) or "{}")
    recorded = Recorded(
        docker,
        busy,
        _text(journal).strip(),
        next(iter(known.get("container") or ()), None),
        next(iter(known.get("image") or ()), None),
        next(iter(json.loads(_text(now) or "[]")), None),
    )
    return KeptContainer(name, _text(stays).strip(), recorded, same == "yes")


def _text(word: str) -> str:
    """Return what the script packed behind a dash, which stands for nothing as well."""
    return base64.b64decode(word.removeprefix("-"), validate=True).decode(errors="surrogateescape")
