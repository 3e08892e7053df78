"""References to images, and what a host says they are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, Self

_DIGEST = r"sha256:[0-9a-f]{64}"
_NAME = r"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
_REFERENCE = re.compile(rf"({_NAME})(?::([A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@({_DIGEST}))?")

NO_REGISTRY = "it came from no registry"
"""Why no registry was asked for an image that was built or loaded on the host."""

How = Literal["digest", "registry", "local", "failed"]


@dataclass(frozen=True)
class Reference:
    """An image as settings name it.

    Args:
        name: registry and repository as written.
        tag: ``latest`` when neither tag nor digest is given; else empty without one.
        digest: ``sha256:…``, or empty.
    """

    name: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference.

        Raises:
            ValueError: it is none.
        """
        match = _REFERENCE.fullmatch(text)
        if match is None:
            msg = f"an image as 'redis:8' or 'registry.example/redis@sha256:…'; found {text!r}"
            raise ValueError(msg)
        name, tag, digest = match.groups(default="")
        return cls(name, tag or ("" if digest else "latest"), digest)

    @property
    def registry(self) -> str:
        """Return the registry's address as in Docker's ``config.json``."""
        first, slash, _ = self.name.partition("/")
        named = slash and ("." in first or ":" in first or first == "localhost")
        return first if named else "https://index.docker.io/v1/"

    @property
    def short(self) -> str:
        """Return what a person tells releases apart by: the tag, else the digest."""
        return self.tag or brief(self.digest)


def brief(digest: str) -> str:
    """Return the beginning of a digest or image id."""
    return digest[:15] + "…" if digest.startswith("sha256:") else digest


@dataclass(frozen=True)
class Resolved:
    """What a reference stands for on a host.

    Args:
        reference: as the settings name it.
        how: the settings had a digest, the registry was asked, the host had it; or it failed.
        digest: of the registry's manifest, when it is known.
        local: id of the host's own image of that reference, or empty.
        trouble: what the registry, or the daemon for it, said instead of a digest.
    """

    reference: str
    how: How
    digest: str = ""
    local: str = ""
    trouble: str = ""

    @property
    def wanted(self) -> str:
        """Return what the new container is made from."""
        return f"{Reference.parse(self.reference).name}@{self.digest}" if self.digest else ""

    @property
    def words(self) -> str:
        """Return how the image was found, for people."""
        if self.how == "registry":
            return f"{self.reference} is {brief(self.digest)} at its registry"
        if self.how == "digest":
            return f"{self.reference} is given by digest"
        why = f" ({self.trouble})" if self.trouble else ""
        return f"{self.reference} is {brief(self.local)} on the host{why}"


@dataclass(frozen=True)
class Image:
    """An image that the host has.

    Args:
        id: as ``docker inspect`` says.
        digests: manifests by which it came from registries.
        config: what containers inherit: Env, Cmd, Labels, …
    """

    id: str
    digests: frozenset[str] = frozenset()
    config: dict[str, object] = field(default_factory=dict)
