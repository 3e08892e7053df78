"""What stands on a host: the client files as they were read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from uplift.spec.clients.dockerconfig import DockerDocument
from uplift.spec.clients.ini import IniDocument, PipDocument
from uplift.spec.clients.netrc import NetrcDocument
from uplift.spec.clients.npmrc import NpmrcDocument
from uplift.spec.clients.text import Document
from uplift.spec.clients.uvtoml import UvDocument

HOST = "/"
"""Stands for the host itself where the name of a user would stand."""

NETRC = ".netrc"
NPMRC = ".npmrc"
PIP = ".config/pip/pip.conf"
PIP_OLD = ".pip/pip.conf"
PYPIRC = ".pypirc"
DOCKER = ".docker/config.json"
HOST_PIP = "etc/pip.conf"
HOST_UV = "etc/uv/uv.toml"

FORMATS: Mapping[str, type[Document]] = {
    NETRC: NetrcDocument,
    NPMRC: NpmrcDocument,
    PIP: PipDocument,
    PYPIRC: IniDocument,
    DOCKER: DockerDocument,
    HOST_PIP: PipDocument,
    HOST_UV: UvDocument,
}

FOLDER = "/var/lib/uplift"
FOLDER_RIGHTS = "700 0:0"
RECORD_PATH = f"{FOLDER}/clients.json"


@dataclass(frozen=True, order=True)
class Place:
    """Where a client file belongs.

    Args:
        user: its user; :data:`HOST` for the files of the host itself.
        relative: path below the user's home, or below ``/``.
    """

    user: str
    relative: str

    @property
    def is_host(self) -> bool:
        """Tell whether every user of the host reads the file."""
        return self.user == HOST

    @property
    def mode(self) -> str:
        """Return the mode of the file: what holds secrets is for its user alone."""
        return "644" if self.is_host else "600"

    @property
    def folder_mode(self) -> str:
        """Return the mode of folders that have to be made for the file."""
        return "755" if self.is_host else "700"

    def __str__(self) -> str:
        return f"/{self.relative}" if self.is_host else f"~{self.user}/{self.relative}"


@dataclass(frozen=True)
class User:
    """A user of the host, from its user database."""

    uid: str
    gid: str
    home: str


@dataclass(frozen=True)
class FileState:
    """A file as it was read.

    Args:
        status: ``file``, ``absent``, or what stands in the way (see :data:`IN_THE_WAY`).
        path: its absolute path, ``~user/…`` when the user does not exist.
        mode: in octal, without leading zeros.
        owner: ``uid:gid``.
        content: its bytes; empty unless ``file``.
        leftovers: temporary files beside it which a killed run left.
    """

    status: str
    path: str
    mode: str = ""
    owner: str = ""
    content: bytes = field(default=b"", repr=False)
    leftovers: int = 0

    @property
    def sha256(self) -> str:
        """Return the hash by which the host knows that the file is still the same."""
        return hashlib.sha256(self.content).hexdigest() if self.status == "file" else "absent"


IN_THE_WAY = {
    "no-user": "the user does not exist on this host: create it, or take it out of the settings",
    "no-home": "the user's home does not exist or cannot be entered: create it first",
    "link": "is a symbolic link, and what it leads to is not touched: replace it by a file",
    "folder": "is a folder: move it away",
    "special": "is no regular file: move it away",
    "parent-link": "a folder above it is a symbolic link, which is not followed: make it a folder",
    "parent-file": "what should be the folder above it is no folder: move it away",
    "unreadable": "cannot be read, or changed while it was read: run again",
    "large": "is larger than 256 kB, which no file of this kind is",
}


@dataclass(frozen=True)
class HostState:
    """The client files of a host, its users, and the record of what was written before.

    Args:
        uid: of whoever reads; only root can write the files of others.
        users: by name; a user that does not exist is left out.
        files: by place; those of the record are among them.
        record: text of the record, None without one.
        record_sha256: hash of its bytes, ``absent`` without one.
        folder: mode and ``uid:gid`` of the record's folder, None without one.
    """

    uid: int
    users: Mapping[str, User]
    files: Mapping[Place, FileState]
    record: str | None = field(default=None, repr=False)
    record_sha256: str = "absent"
    folder: str | None = None
