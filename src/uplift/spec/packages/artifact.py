"""One file to publish: what it is called, what it belongs to, and its hashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

Hashes = Mapping[str, str]
"""Hexadecimal digests, by the algorithm."""

STRONGEST = ("sha512", "sha384", "sha256", "sha1", "md5")
"""Algorithms that indexes name, the best first; all of them are known of our own files."""

_PRERELEASE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+-")
_NPM_NAME = re.compile(r"(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*")
_PLAIN = re.compile(r"[A-Za-z0-9_@+][A-Za-z0-9._@+-]*")


@dataclass(frozen=True)
class Artifact:
    """A file that shall be served.

    Args:
        package: name of the settings' entry.
        repository: name of the repository.
        project: the name under which the repository lists it; of a raw file its path.
        version: empty for raw files.
        file: its name.
        path: where it is on the controller.
        size: in bytes.
        hashes: of its content.
        tag: npm's.
        replace: what is served under its name may have other content.
    """

    package: str
    repository: str
    project: str
    version: str
    file: str
    path: Path
    size: int
    hashes: Hashes = field(hash=False)
    tag: str = ""
    replace: bool = False

    def __str__(self) -> str:
        return f"{self.repository}: {self.file}"


def named(file: str) -> tuple[str, str] | None:
    """Return what project and version the file name of a Python package says.

    Args:
        file: name of the file.

    Returns:
        None when it is no file of a Python package.
    """
    try:
        if file.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(file)
        else:
            name, version = parse_sdist_filename(file)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return str(name), str(version)


def npm_named(manifest: Any) -> tuple[str, str]:
    """Return what name and version a ``package.json`` says.

    Args:
        manifest: its content.

    Raises:
        ValueError: it says none, or none that can be published.
    """
    name, version = (
        (manifest.get("name"), manifest.get("version")) if isinstance(manifest, dict) else (0, 0)
    )
    if not isinstance(name, str) or not isinstance(version, str):
        msg = "its package.json has no name and version"
        raise ValueError(msg)
    if not _NPM_NAME.fullmatch(name) or not version[:1].isdigit():
        msg = "its package.json has a name or a version that npm does not take"
        raise ValueError(msg)
    if manifest.get("private"):
        msg = 'its package.json says "private": true, and npm refuses to publish it'
        raise ValueError(msg)
    elsewhere = manifest.get("publishConfig")
    if isinstance(elsewhere, dict) and "registry" in elsewhere:
        msg = "its package.json names a registry in publishConfig, which npm takes before ours"
        raise ValueError(msg)
    return name, version


def default_tag(version: str) -> str:
    """Return npm's tag for a version: what is no release must not become everybody's."""
    return "next" if _PRERELEASE.match(version) else "latest"


def is_plain(file: str) -> bool:
    """Tell whether a file has a name that means the same in an address and in a command."""
    return bool(_PLAIN.fullmatch(file))


def same_project(name: str, other: str) -> bool:
    """Tell whether two names are the same project of an index."""
    return canonicalize_name(name) == canonicalize_name(other)
