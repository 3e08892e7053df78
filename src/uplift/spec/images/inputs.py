"""All that goes into an image, its hash, and the tags and labels that are made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from uplift.spec.images.models import Image

_FORMAT = 2
"""Raised when the same inputs give another image; then everything is built anew."""


@dataclass(frozen=True)
class File:
    """A file of a build.

    Args:
        path: inside its folder, parted by ``/``.
        content: its bytes; of a link, where it points to.
        executable: whether it may be run.
        link: whether it is a symbolic link.
    """

    path: str
    content: bytes = field(repr=False)
    executable: bool = False
    link: bool = False


@dataclass(frozen=True)
class Inputs:
    """What an image is made from.

    Args:
        image: of the settings.
        dockerfile: its text.
        source: files of the source.
        installer: requirements of the builder; empty for an own Dockerfile.
        authorities: certificates in PEM that the build trusts.
        contexts: replaced bases.
        revision: commit of the source, or empty.
        epoch: date of the commit, in seconds since 1970; 0 without one.
    """

    image: Image
    dockerfile: str
    source: Sequence[File] = field(repr=False)
    installer: str = ""
    authorities: str = ""
    contexts: Mapping[str, str] = field(default_factory=dict)
    revision: str = ""
    epoch: int = 0

    @property
    def hash(self) -> str:
        """Return the hash of all that changes the image.

        Credentials are not among it, so that a password that was changed builds nothing; neither
        are commit and date, which change while the files stay the same.
        """
        image = self.image
        digest = hashlib.sha256()
        head = {
            "format": _FORMAT,
            "version": image.version,
            "builder": image.builder,
            "base": "" if image.builder == "dockerfile" else image.base_image,
            "platforms": image.platforms,
            "labels": image.labels,
            "arguments": image.build_args,
            "secrets": sorted(image.secrets),
            "title": image.title,
            "url": image.source_url,
            "contexts": dict(self.contexts),
        }
        parts = [json.dumps(head, sort_keys=True), self.dockerfile, self.installer]
        for part in (*parts, self.authorities):
            _add(digest, part.encode())
        for file in sorted(self.source, key=lambda it: it.path):
            kind = "link" if file.link else "run" if file.executable else "file"
            for data in (kind.encode(), file.path.encode(), file.content):
                _add(digest, data)
        return digest.hexdigest()[:16]

    @property
    def fixed(self) -> str:
        """Return the whole name with the tag that never moves."""
        return f"{self.image.name}:{self.image.moving}-{self.hash}"

    @property
    def moving(self) -> str:
        """Return the whole name with the tag that moves."""
        return f"{self.image.name}:{self.image.moving}"

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels of the image; the settings' own win over those of OCI."""
        oci = {
            "title": self.image.title,
            "version": self.image.version,
            "source": self.image.source_url or "",
            "revision": self.revision,
            "created": _date(self.epoch),
            "base.name": "" if self.image.builder == "dockerfile" else self.image.base_image,
        }
        found = {f"org.opencontainers.image.{key}": value for key, value in oci.items() if value}
        ours = {"io.uplift.builder": self.image.builder, "io.uplift.inputs": self.hash}
        return {**found, **self.image.labels, **ours}


def _add(digest: hashlib._Hash, data: bytes) -> None:
    digest.update(len(data).to_bytes(8, "big") + data)


def _date(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if epoch else ""
