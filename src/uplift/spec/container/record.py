"""A container as it was, from its record on the host, in the words that make it again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from uplift.spec.container.state import by_word, unpacked

IMAGE = "@image@"
"""Stands in the body for the image, which is chosen on the host."""

_BUILTIN = ("default", "bridge", "host", "none")


@dataclass(frozen=True)
class Recorded:
    """What is kept of a container, and what runs in its place.

    Args:
        docker: the Engine answers.
        busy: unit of a job that still changes containers.
        journal: last step of a replacement that did not end, or empty.
        container: as ``docker inspect`` said when it was replaced; None without a record.
        image: of it, likewise; None when it was gone by then.
        now: the container that has the name now, or None.
    """

    docker: bool
    busy: str = ""
    journal: str = ""
    container: Mapping[str, Any] | None = None
    image: Mapping[str, Any] | None = None
    now: Mapping[str, Any] | None = None

    @property
    def is_back(self) -> bool:
        """Return whether what runs is what the record says."""
        old, now = self.container, self.now
        return (
            old is not None
            and now is not None
            and now["State"]["Status"] == "running"
            and now["Image"] == old["Image"]
            and body(now) == body(old)
            and further_networks(now) == further_networks(old)
        )


def parse(lines: Iterable[str]) -> Recorded:
    """Read the lines of the fact's script: a word and its values.

    Args:
        lines: what the script printed.

    Raises:
        ValueError: the lines are not the script's.
    """
    found = by_word(lines, "a container's record")

    def word(name: str) -> str:
        return " ".join(found.get(name, [[]])[0])

    record = json.loads(unpacked(found["record"][0]) or "{}")
    now = json.loads(unpacked(found["now"][0]) or "[]")
    return Recorded(
        docker=word("docker") == "yes",
        busy=word("busy"),
        journal=word("journal"),
        container=next(iter(record.get("container") or ()), None),
        image=next(iter(record.get("image") or ()), None),
        now=next(iter(now), None),
    )


def body(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the Engine's API makes the container from.

    Args:
        found: as ``docker inspect`` says.
    """
    config = {**found["Config"], "Image": IMAGE}
    if config.get("Hostname") == found["Id"][:12]:
        del config["Hostname"]
    host = dict(found["HostConfig"])
    host["Binds"] = [*(host.get("Binds") or ()), *_nameless(found)] or None
    mode, networks = host.get("NetworkMode", "default"), _networks(found)
    first = {mode: {"Aliases": networks[mode]}} if mode in networks else {}
    return {**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": first}}


def further_networks(found: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return aliases by network, of those that the container was connected to once it was made.

    Args:
        found: as ``docker inspect`` says.
    """
    mode = found["HostConfig"].get("NetworkMode", "default")
    return {name: aliases for name, aliases in _networks(found).items() if name != mode}


def sources(container: Mapping[str, Any], image: Mapping[str, Any] | None) -> list[str]:
    """Return where the image can be had: the host's own, else by digest from its registry.

    Args:
        container: the record.
        image: of it.
    """
    return [container["Image"], *((image or {}).get("RepoDigests") or ())]


def exposed(container: Mapping[str, Any], image: Mapping[str, Any] | None) -> list[str]:
    """Return values of variables that the image does not bring: some may be secrets.

    Args:
        container: the record.
        image: of it.
    """
    own = set(((image or {}).get("Config") or {}).get("Env") or ())
    return [
        line.partition("=")[2] for line in container["Config"].get("Env") or () if line not in own
    ]


def _nameless(found: Mapping[str, Any]) -> list[str]:
    """Return volumes that no option named; the container had its data there all the same."""
    host = found["HostConfig"]
    named = {text.split(":")[1] for text in host.get("Binds") or () if ":" in text}
    named |= {one["Target"] for one in host.get("Mounts") or ()}
    return [
        f"{one['Name']}:{one['Destination']}"
        for one in found.get("Mounts") or ()
        if one["Type"] == "volume" and one["Destination"] not in named
    ]


def _networks(found: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return aliases by network; Docker's own networks have none, and need no word."""
    settings = (found.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        name: sorted({*((one or {}).get("Aliases") or ())} - {found["Id"][:12]})
        for name, one in settings.items()
        if name not in _BUILTIN
    }
