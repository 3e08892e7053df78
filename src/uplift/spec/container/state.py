"""What a host says about its containers, as the fact's script prints it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from uplift.spec.container import listening
from uplift.spec.container.image import NO_REGISTRY, Image, Reference, Resolved

REFUSED = "credentials: the registry refuses them"

STATE = "/var/lib/uplift/containers"
"""Journal, records and lock of each container, in a folder of its name."""


@dataclass(frozen=True)
class SecretFile:
    """A secret file of a container.

    Args:
        rights: mode and ``uid:gid``.
        hash: sha256 of the fact's salt and the file's bytes.
    """

    rights: str
    hash: str


@dataclass(frozen=True)
class State:
    """The containers of a host that matter; without Docker everything is empty.

    Args:
        docker: the Engine answers.
        busy: unit of a job that still changes containers.
        limits: which limits the kernel can set: ``memory``, ``cpus``, ``pids_limit``.
        containers: as ``docker inspect`` shows them, by name.
        images: of these containers, by id.
        resolved: what the wanted references stand for.
        volumes: as ``docker volume inspect`` shows them, by name.
        secrets: files by container and name.
        salt: what the secrets' hashes begin with; whoever gave it to the fact fills it in.
        journals: last step of a replacement that did not end, by container.
        listeners: who listens on the host's ports; nobody where it cannot say so.
    """

    docker: bool
    busy: str = ""
    limits: frozenset[str] = frozenset()
    containers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    resolved: Mapping[str, Resolved] = field(default_factory=dict)
    volumes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, SecretFile]] = field(default_factory=dict)
    salt: str = ""
    journals: Mapping[str, str] = field(default_factory=dict)
    listeners: tuple[listening.Listener, ...] = ()

    def steady(self) -> dict[str, object]:
        """Return all that does not change by itself, for fingerprints."""
        return {
            "docker": self.docker,
            "limits": self.limits,
            "containers": {name: _steady(one) for name, one in self.containers.items()},
            "images": self.images,
            "resolved": self.resolved,
            # Docker takes the time of the folder, which changes with what is in it.
            "volumes": {
                name: {key: value for key, value in one.items() if key != "CreatedAt"}
                for name, one in self.volumes.items()
            },
            "secrets": self.secrets,
            "journals": self.journals,
        }

    def as_if_settled(self) -> Self:
        """Return what there will be about, once replacements that were interrupted have ended.

        Whether they end with the new container or with the old one is not known: it is taken to be
        the one that runs, else the new one.
        """
        containers = dict(self.containers)
        for name in self.journals:
            names = (name, f"{name}--previous")
            there = [containers.pop(one) for one in names if one in containers]
            running = [one for one in there if one["State"].get("Running")]
            if there:
                containers[name] = (*running, *there)[0]
        return replace(self, containers=containers, journals={})

    def seen(self, name: str) -> str:
        """Return what tells one state of a container from another, without its secrets."""
        found = self.containers.get(name, {})
        words = [found.get("Id"), found.get("State", {}).get("StartedAt"), self.journals.get(name)]
        return repr(words)


def _steady(found: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("Id", "Name", "Image", "Path", "Args", "Config", "HostConfig")
    networks = found.get("NetworkSettings", {}).get("Networks") or {}
    return {
        **{key: found.get(key) for key in kept},
        # In an order that changes from one inspection to the next.
        "Mounts": sorted(map(repr, found.get("Mounts") or ())),
        "Status": found.get("State", {}).get("Status"),
        "Networks": {name: (one or {}).get("Aliases") for name, one in networks.items()},
    }


def by_word(lines: Iterable[str], what: str) -> dict[str, list[list[str]]]:
    """Sort the lines of a fact's script by their first word.

    Args:
        lines: what the script printed, words parted by blanks.
        what: the script reads, for the error's text.

    Raises:
        ValueError: the last line is missing: the script was cut off.
    """
    found: dict[str, list[list[str]]] = {}
    for line in lines:
        word, *values = line.split()
        found.setdefault(word, []).append(values)
    if "end" not in found:
        msg = f"the script that reads {what} did not reach its end"
        raise ValueError(msg)
    return found


def parse(lines: Iterable[str]) -> State:
    """Read the lines of the fact's script: words parted by blanks.

    Args:
        lines: what the script printed.

    Raises:
        ValueError: the lines are not the script's.
    """
    found = by_word(lines, "containers")
    images = {image.id: image for image in map(_image, _objects(found, "images"))}
    return State(
        docker=found["docker"][0] == ["yes"],
        busy=" ".join(found.get("busy", [[]])[0]),
        limits=_limits(found),
        containers={one["Name"].removeprefix("/"): one for one in _objects(found, "containers")},
        images=images,
        resolved={one.reference: one for one in map(_resolved, found.get("resolve", ()))},
        volumes={one["Name"]: one for one in _objects(found, "volumes")},
        secrets=_secrets(found),
        journals={values[0]: " ".join(values[1:]) for values in found.get("journal", ())},
        listeners=tuple(listening.parse(unpacked(found.get("listening", [[]])[0]))),
    )


def _objects(found: Mapping[str, list[list[str]]], word: str) -> list[dict[str, Any]]:
    return [one for values in found.get(word, ()) for one in json.loads(unpacked(values) or "[]")]


def unpacked(values: list[str]) -> str:
    """Return the text that the script packed as the last of these words; empty without one."""
    return base64.b64decode(values[-1], validate=True).decode() if values else ""


def _limits(found: Mapping[str, list[list[str]]]) -> frozenset[str]:
    names = ("memory", "cpus", "pids_limit")
    values = found.get("limits", [[]])[0]
    return frozenset(name for name, value in zip(names, values, strict=False) if value == "true")


def _image(value: Mapping[str, Any]) -> Image:
    digests = {text.rpartition("@")[2] for text in value.get("RepoDigests") or ()}
    return Image(value["Id"], frozenset(digests), value.get("Config") or {})


def _resolved(values: list[str]) -> Resolved:
    """Read one line: reference, local id, HTTP status, answer (the last three may be ``-``)."""
    text, local, status, answer = values
    local = local.removeprefix("-")
    said = _answer(answer)
    if digest := Reference.parse(text).digest:
        there = status in ("skipped", "200")
        trouble = "" if there else trouble_of(status, str(said.get("message", "")))
        return Resolved(text, "digest", digest, local, trouble)
    if status == "skipped":
        return Resolved(text, "local", local=local, trouble=NO_REGISTRY)
    digest = str(said.get("Descriptor", {}).get("digest", ""))
    if status == "200" and digest:
        return Resolved(text, "registry", digest, local)
    trouble = trouble_of(status, str(said.get("message", "")))
    denied = trouble.startswith("credentials")
    return Resolved(text, "local" if local and not denied else "failed", "", local, trouble)


def _answer(text: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.b64decode(text)) if text != "-" else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def trouble_of(status: str, message: str) -> str:
    """Say what kind of trouble a registry makes, in the daemon's own words.

    Args:
        status: of the daemon's answer.
        message: in it.
    """
    low = message.lower()
    if any(word in low for word in ("unauthorized", "no basic auth", "denied", "incorrect user")):
        kind = REFUSED
    elif any(word in low for word in ("manifest unknown", "not found", "name unknown")):
        kind = "the registry has no such image"
    elif "x509" in low or "tls: failed to verify" in low:
        kind = "this host does not trust the registry's certificate (docker.registries)"
    else:
        kind = "the registry does not answer"
    detail = message or f"status {status}"
    return f"{kind}: {' '.join(detail.split())[:200]}"


def _secrets(found: Mapping[str, list[list[str]]]) -> dict[str, dict[str, SecretFile]]:
    files: dict[str, dict[str, SecretFile]] = {}
    for container, mode, owner, sha256, name in found.get("secret", ()):
        file = base64.b64decode(name).decode(errors="replace")
        files.setdefault(container, {})[file] = SecretFile(f"{mode} {owner}", sha256)
    return files
