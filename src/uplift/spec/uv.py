"""uv on a host: settings, what a host has, and the difference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from uplift.spec.base import Block
from uplift.spec.entry import ABSENT, Entry

ROOT = "/opt/uv"
"""Every version has a folder in it; the link ``current`` in it names the active one."""

CURRENT = f"{ROOT}/current"
LINKS = {"uv": "/usr/local/bin/uv", "uvx": "/usr/local/bin/uvx"}
ARCHITECTURES = ("x86_64", "aarch64")

_VERSION = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Checksums(Block):
    """The sha256 of uv's wheel, by the architecture of the host.

    Args:
        x86_64: of the wheel with the tag ``musllinux_1_1_x86_64``.
        aarch64: of the wheel whose tags hold ``musllinux_1_1_aarch64``.
    """

    x86_64: str | None = None
    aarch64: str | None = None

    @field_validator("x86_64", "aarch64")
    @classmethod
    def _check(cls, value: str | None) -> str | None:
        if value is not None and not _SHA256.fullmatch(value):
            msg = "a sha256 is 64 digits and lower-case letters a to f, without a prefix"
            raise ValueError(msg)
        return value


class Uv(Block):
    """The uv that a host has.

    Args:
        version: of uv, for example ``"0.13.8"``.
        sha256: of the wheel for each architecture; when left out, what the index says at first is
            recorded in the project and holds from then on.
        keep: how many other versions stay on a host for a quick way back.
        index: address of the simple index that has uv; when left out, the controller's own pip
            configuration. Credentials stay in the controller's netrc or pip configuration.
    """

    version: str
    sha256: Checksums = Checksums()
    keep: Annotated[int, Field(strict=True, ge=0, le=50)] = 2
    index: str | None = None

    @field_validator("version", mode="before")
    @classmethod
    def _check_version(cls, value: Any) -> Any:
        if isinstance(value, (int, float)):
            msg = f'write it as text with three numbers, for example "0.13.8"; found {value!r}'
            raise ValueError(msg)
        if isinstance(value, str) and not _VERSION.fullmatch(value):
            msg = (
                f"a released version of uv has three numbers, for example '0.13.8'; found {value!r}"
            )
            raise ValueError(msg)
        return value

    @field_validator("index")
    @classmethod
    def _check_index(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "an index is an address such as https://nexus.example.com/repository/pypi/simple"
            raise ValueError(msg)
        if "@" in parts.netloc:
            msg = (
                "an index has no user and password in the settings: put them into the "
                "controller's ~/.netrc"
            )
            raise ValueError(msg)
        return value


@dataclass(frozen=True)
class Member:
    """A binary inside uv's wheel: enough to cut it out of the file without unzip.

    Args:
        offset: of its bytes in the wheel.
        length: of its bytes in the wheel.
        method: 0 as it is, 8 deflated.
        crc32: of the binary.
        size: of the binary.
        sha256: of the binary.
    """

    offset: int
    length: int
    method: int
    crc32: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Release:
    """One uv for one architecture, as the index has it.

    Args:
        version: of uv.
        file: name of the wheel.
        sha256: of the wheel.
        size: of the wheel.
        binaries: ``uv`` and ``uvx`` inside the wheel.
    """

    version: str
    file: str
    sha256: str
    size: int
    binaries: Mapping[str, Member]

    @property
    def disk(self) -> int:
        """Return the bytes that an installation takes while it runs."""
        return self.size + sum(binary.size for binary in self.binaries.values())


RIGHTS = "755 0:0"


@dataclass(frozen=True)
class HostState:
    """What a host has of uv.

    Args:
        uid: user that looked; all else is complete only for root.
        arch: what ``uname -m`` says.
        root: the folder of all versions.
        version: the folder of the wanted version.
        binaries: ``uv`` and ``uvx`` of the wanted version.
        current: the link that names the active version.
        links: ``uv`` and ``uvx`` in the search path.
        versions: in which order versions were last made active, the latest first.
        leftovers: what killed installations left behind.
    """

    uid: int
    arch: str
    root: Entry = ABSENT
    version: Entry = ABSENT
    binaries: Mapping[str, Entry] = field(default_factory=dict)
    current: Entry = ABSENT
    links: Mapping[str, Entry] = field(default_factory=dict)
    versions: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()

    @property
    def active(self) -> str | None:
        """Return the version that is active, if one of ours is."""
        return self.current.detail if self.current.kind == "link" else None


@dataclass(frozen=True)
class Plan:
    """What an installation has to do on a host.

    Args:
        install: the wanted version is missing or damaged.
        remove: versions that are more than the settings keep.
        words: each change, for people; empty when nothing is to be done.
    """

    install: bool
    remove: tuple[str, ...]
    words: tuple[str, ...]


def refusal(state: HostState) -> str | None:
    """Return why uv cannot be installed on a host at all, if it cannot."""
    if state.uid != 0:
        return "uv: this needs root; set _sudo = True in the group data"
    if state.arch not in ARCHITECTURES:
        allowed = " and ".join(ARCHITECTURES)
        return f"uv: hosts of {allowed} are supported, this one is {state.arch}"
    if state.root.kind not in ("absent", "folder"):
        return f"uv: {ROOT} is in the way: it is not a folder"
    return None


def plan(settings: Uv, state: HostState, release: Release) -> Plan:
    """Compare what a host has with what the settings want.

    Args:
        settings: of this host.
        state: what the host has; :func:`refusal` has nothing against it.
        release: the wanted uv.
    """
    install = any(
        state.binaries.get(name, ABSENT).kind != "file"
        or state.binaries[name].detail != binary.sha256
        for name, binary in release.binaries.items()
    )
    remove = _surplus(settings, state)
    words = (
        *_version_words(settings.version, state, install),
        *_link_words(state),
        *(["modes and owners put right"] if _wrong_rights(state, install) else []),
        *[f"{version} removed" for version in remove],
        *(["what a killed run left was removed"] if state.leftovers else []),
    )
    return Plan(install, remove, words)


def _surplus(settings: Uv, state: HostState) -> tuple[str, ...]:
    # A version that is still active now is the way back after this change: it counts as the latest.
    others = [version for version in state.versions if version != settings.version]
    others.sort(key=lambda version: version != state.active)
    return tuple(others[settings.keep :])


def _version_words(version: str, state: HostState, install: bool) -> list[str]:
    if state.active != version:
        return [f"{state.active or 'none'} -> {version}"]
    return [f"{version} was damaged and is put back"] if install else []


def _link_words(state: HostState) -> list[str]:
    words = []
    for name, path in LINKS.items():
        found = state.links.get(name, ABSENT)
        if found.kind == "absent":
            words.append(f"{path} made")
        elif found != Entry("link", detail=f"{CURRENT}/{name}"):
            words.append(f"another {path} moved to {ROOT}/displaced")
    if state.current.kind not in ("absent", "link"):
        words.append(f"another {CURRENT} moved to {ROOT}/displaced")
    return words


def _wrong_rights(state: HostState, install: bool) -> bool:
    entries = [state.root] if install else [state.root, state.version, *state.binaries.values()]
    return any(entry.kind in ("file", "folder") and entry.rights != RIGHTS for entry in entries)
