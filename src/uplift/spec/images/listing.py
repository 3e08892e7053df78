"""Images of a registry and where they run: manifests taken apart, and joined with containers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from uplift.spec.container.image import Reference

OCI = "org.opencontainers.image."
BUILDER = "io.uplift.builder"

_HUB = "https://index.docker.io/v1/"


@dataclass(frozen=True)
class Manifest:
    """A manifest of a registry: of one image, or of several for platforms each.

    Args:
        digest: of its bytes.
        size: bytes of its layers as they travel; 0 of a list.
        config: digest of its configuration; empty of a list.
        children: digests of a list's images.
    """

    digest: str
    size: int = 0
    config: str = ""
    children: tuple[str, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> Manifest:
        """Read a manifest.

        Args:
            body: as the registry sent it.

        Raises:
            ValueError: it is none of a kind that this knows.
        """
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        found: Any = json.loads(body)
        try:
            if "manifests" in found:
                # Attestations stand beside images, for a platform that there is not.
                real = [one for one in found["manifests"] if _platform(one) != "unknown/unknown"]
                return cls(digest, children=tuple(one["digest"] for one in real))
            size = sum(layer["size"] for layer in found["layers"])
            return cls(digest, size, found["config"]["digest"])
        except (KeyError, TypeError, AttributeError):
            msg = "it is no manifest of an image"
            raise ValueError(msg) from None


@dataclass(frozen=True)
class Listed:
    """One image: what a digest of a repository stands for.

    Args:
        name: registry and repository.
        digest: of its manifest.
        tags: that name it; empty when the registry has none for it.
        builder: that built it, by label.
        version: by label.
        revision: of its source, by label.
        created: as its configuration says: with a git source the commit's date.
        size: bytes that a pull of one platform takes; None when the registry does not have it.
        platforms: as ``linux/amd64``.
        hosts: names of its running containers, by host.
    """

    name: str
    digest: str
    tags: tuple[str, ...] = ()
    builder: str = ""
    version: str = ""
    revision: str = ""
    created: datetime | None = None
    size: int | None = None
    platforms: tuple[str, ...] = ()
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Tagged:
    """The tags of a repository.

    Args:
        tags: in no order.
        trouble: why its registry did not tell; else empty.
    """

    tags: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class Running:
    """A container that runs, and its image.

    Args:
        container: its name.
        digests: whole names with digest by which the image came.
        config: what ``docker image inspect`` says of the image.
    """

    container: str
    digests: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)


def image(
    name: str, tags: Sequence[str], top: Manifest, parts: Sequence[tuple[Manifest, bytes]]
) -> Listed:
    """Return one image of a registry.

    Args:
        name: registry and repository.
        tags: that name it.
        top: its manifest.
        parts: of each platform the manifest and the configuration; of an image for one platform,
            its own.
    """
    configs = [json.loads(body) for _, body in parts]
    first: Mapping[str, Any] = configs[0] if configs else {}
    labels = (first.get("config") or {}).get("Labels") or {}
    return Listed(
        name,
        top.digest,
        tuple(sorted(tags)),
        *_told(labels),
        created=moment(str(first.get("created", ""))),
        size=max((manifest.size for manifest, _ in parts), default=0),
        platforms=tuple(f"{one.get('os')}/{one.get('architecture')}" for one in configs),
        aliases=frozenset({top.digest, *top.children}),
    )


def joined(
    images: Iterable[Listed], names: Iterable[str], running: Mapping[str, Sequence[Running]]
) -> list[Listed]:
    """Add to images where they run, and what runs though no tag names it any more.

    Args:
        images: of registries.
        names: all repositories that are looked for.
        running: containers by host.
    """
    wanted = {canonical(name): name for name in names}
    found: dict[tuple[str, str], Listed] = {}
    for one in images:
        found |= {(one.name, digest): one for digest in one.aliases}
    places: dict[tuple[str, str], dict[str, list[str]]] = {}
    for host, containers in running.items():
        for it in containers:
            for repository, digest in _ours(it, wanted):
                known = found.setdefault((repository, digest), _stray(repository, digest, it))
                place = places.setdefault((repository, known.digest), {})
                place.setdefault(host, []).append(it.container)
    every = {(one.name, one.digest): one for one in found.values()}
    return [
        replace(one, hosts={host: tuple(sorted(c)) for host, c in places.get(key, {}).items()})
        for key, one in sorted(every.items(), key=lambda item: _order(item[1]))
    ]


def canonical(name: str) -> str:
    """Return a repository's name as Docker tells it, by which names are compared.

    Args:
        name: as settings or Docker have it.
    """
    short = name.removeprefix("docker.io/")
    return short.removeprefix("library/") if Reference.parse(short).registry == _HUB else name


def address(name: str) -> tuple[str, str]:
    """Return host and path by which a repository's registry is asked.

    Args:
        name: registry and repository.
    """
    short = canonical(name)
    if Reference.parse(short).registry != _HUB:
        host, _, path = short.partition("/")
        return host, path
    return "registry-1.docker.io", short if "/" in short else f"library/{short}"


def moment(text: str) -> datetime | None:
    """Return a date as Docker writes it; None when it is none, or its zero.

    Args:
        text: as ``2026-11-21T10:00:00.123456789Z``.
    """
    try:
        found = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
    except ValueError:
        return None
    return found if found.year > 1 else None


def _ours(it: Running, wanted: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for pinned in it.digests:
        name, _, digest = pinned.partition("@")
        if canonical(name) in wanted:
            yield wanted[canonical(name)], digest


def _stray(name: str, digest: str, it: Running) -> Listed:
    labels = (it.config.get("Config") or {}).get("Labels") or {}
    platform = f"{it.config.get('Os')}/{it.config.get('Architecture')}"
    created = moment(str(it.config.get("Created", "")))
    return Listed(name, digest, (), *_told(labels), created=created, platforms=(platform,))


def _told(labels: Mapping[str, str]) -> tuple[str, str, str]:
    return (
        labels.get(BUILDER, ""),
        labels.get(f"{OCI}version", ""),
        labels.get(f"{OCI}revision", ""),
    )


def _platform(entry: Mapping[str, Any]) -> str:
    said = entry.get("platform") or {}
    return f"{said.get('os')}/{said.get('architecture')}"


def _order(one: Listed) -> tuple[str, float, tuple[str, ...], str]:
    return one.name, -(one.created.timestamp() if one.created else 0), one.tags, one.digest
