"""What a registry says about tags, and what has to be done."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from uplift.spec.images.inputs import Inputs

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# What registries say, through the Engine, of a repository or a tag that does not exist yet.
_ABSENT = ("not found", "manifest unknown", "name unknown")


@dataclass(frozen=True)
class Found:
    """What a host said.

    Args:
        ready: why this host cannot build; empty when it can.
        busy: a job of this subject that still runs, or empty.
        digests: by reference, of the tags that are there.
        troubles: by reference, where the registry gave no answer.
        platforms: that the host can build for.
    """

    ready: str = ""
    busy: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()

    def cannot(self, todo: Sequence[Todo]) -> list[str]:
        """Return the platforms that are to be built, and that the host has no way to run.

        Args:
            todo: what has to be done.
        """
        wanted = {p for one in todo if one.action == "build" for p in one.inputs.image.platforms}
        return sorted(wanted.difference(self.platforms))


Action = Literal["build", "tag"]


@dataclass(frozen=True)
class Todo:
    """One image that is not in its registry as wanted.

    Args:
        inputs: of the image.
        action: it is built, or only the tag that moves is moved to it.
        digest: of the image that is there, for ``tag``.
    """

    inputs: Inputs
    action: Action
    digest: str = ""

    @property
    def line(self) -> str:
        """Return what would be done, for people."""
        if self.action == "build":
            return f"{self.inputs.fixed} is built and pushed, {self.inputs.moving} moves to it"
        return f"{self.inputs.moving} moves to {self.inputs.fixed}, which is there already"


def parse(output: Iterable[str]) -> Found:
    """Return what the lines of the reading script say.

    Args:
        output: all of them.

    Raises:
        ValueError: they were cut off.
    """
    lines = [line.split(" ") for line in output if line.strip()]
    if not lines or lines[-1][0] != "end":
        msg = "what the host said about its registry was cut off"
        raise ValueError(msg)
    words = {line[0]: " ".join(line[1:]) for line in lines if line[0] in ("unable", "busy")}
    digests, troubles = {}, {}
    for _, reference, code, body in (line for line in lines if line[0] == "tag"):
        digest, trouble = _answer(code, base64.b64decode(body).decode(errors="replace"))
        if digest:
            digests[reference] = digest
        if trouble:
            troubles[reference] = trouble
    platforms = next((line[1].split(",") for line in lines if line[0] == "platforms"), [])
    return Found(
        words.get("unable", ""), words.get("busy", ""), digests, troubles, tuple(platforms)
    )


def _answer(code: str, body: str) -> tuple[str, str]:
    """Return digest and trouble; both are empty where the tag does not exist."""
    try:
        said: Any = json.loads(body)
    except ValueError:
        said = {}
    if code == "200":
        digest = str(said.get("Descriptor", {}).get("digest", ""))
        return (digest, "") if _DIGEST.fullmatch(digest) else ("", "it named no digest")
    message = str(said.get("message", "")) or f"no answer (status {code})"
    absent = code == "404" or any(word in message.lower() for word in _ABSENT)
    return "", "" if absent else message


def plan(images: Sequence[Inputs], found: Found) -> list[Todo]:
    """Return what has to be done.

    Args:
        images: all that are wanted.
        found: what the registry has; without trouble.
    """
    todo = []
    for inputs in images:
        there = found.digests.get(inputs.fixed, "")
        if not there:
            todo.append(Todo(inputs, "build"))
        elif found.digests.get(inputs.moving) != there:
            todo.append(Todo(inputs, "tag", there))
    return todo
