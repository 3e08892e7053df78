"""What a host has of a registry, and what must be done about it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from uplift.spec.registry.models import CERTIFICATE, FILES, KEY

FILE_RIGHTS, FOLDER_RIGHTS = "600 0:0", "700 0:0"


@dataclass(frozen=True)
class File:
    """A file of the server.

    Args:
        rights: mode and ``uid:gid``; ``link`` or ``other`` where no file stands.
        changed: when it came to be as it is, in nanoseconds.
        content: its text.
    """

    rights: str
    changed: int = 0
    content: str = field(default="", repr=False)


@dataclass(frozen=True)
class State:
    """The registry of a host.

    Args:
        docker: an Engine answers.
        folder: rights of the folder of its files, empty when there is none.
        files: by name.
        started: when the container was started, in nanoseconds; 0 when it does not run.
    """

    docker: bool
    folder: str = ""
    files: Mapping[str, File] = field(default_factory=dict)
    started: int = 0

    def text(self, name: str) -> str:
        """Return a file's text, empty when there is none."""
        return self.files[name].content if name in self.files else ""

    @property
    def stale(self) -> bool:
        """Tell whether the server runs with another certificate than the files hold.

        It reads them when it starts.
        """
        changed = [self.files[name].changed for name in (CERTIFICATE, KEY) if name in self.files]
        return bool(self.started) and any(when > self.started for when in changed)


def parse(lines: Iterable[str]) -> State:
    """Read the lines of the fact's script: words parted by blanks.

    Args:
        lines: what the script printed.

    Raises:
        ValueError: the lines are not the script's.
    """
    found = [line.split(" ") for line in lines]
    if not found or found[-1] != ["end"]:
        msg = "the script that reads the registry did not reach its end"
        raise ValueError(msg)
    single = {words[0]: " ".join(words[1:]) for words in found if words[0] != "file"}
    return State(
        docker=single["docker"] == "yes",
        folder=single.get("folder", ""),
        files=dict(_file(words[1:]) for words in found if words[0] == "file"),
        started=int(single.get("started") or 0),
    )


def _file(words: list[str]) -> tuple[str, File]:
    name, kind, *more = words
    if kind != "file":
        return name, File(kind)
    mode, owner, changed, content = more
    text = base64.b64decode(content.removeprefix("-"), validate=True).decode(errors="replace")
    return name, File(f"{mode} {owner}", int(changed), text)


@dataclass(frozen=True)
class Plan:
    """What is done about the files of a registry.

    Args:
        write: new texts by name; one of the same text gets its rights back.
        remove: names of files that are not wanted.
        words: each change, for people; empty when nothing is to be done.
    """

    write: Mapping[str, str] = field(repr=False)
    remove: tuple[str, ...]
    words: tuple[str, ...]


def plan(wanted: Mapping[str, str], words: Iterable[str], state: State) -> Plan:
    """Compare the files of a registry with what they shall hold.

    Args:
        wanted: texts by name.
        words: what changes in the texts, for people.
        state: what the host has.
    """
    told, write = list(words), {}
    for name, text in wanted.items():
        there = state.files.get(name)
        if there is not None and there.rights != FILE_RIGHTS:
            told.append(f"{name}: {there.rights} -> {FILE_RIGHTS}")
        if there is None or (there.rights, there.content) != (FILE_RIGHTS, text):
            write[name] = text
    if state.folder not in ("", FOLDER_RIGHTS):
        told.append(f"folder: {state.folder} -> {FOLDER_RIGHTS}")
    remove = tuple(name for name in FILES if name in state.files and name not in wanted)
    told += [f"{name} removed" for name in remove]
    return Plan(write, remove, tuple(told))
