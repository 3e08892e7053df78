"""What a checkout remembers of its lab; what really runs, Docker says."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from uplift.lab import addresses, names
from uplift.lab.addresses import REGISTRY_PORT, SSH_PORT, Addresses
from uplift.lab.keys import write_changed
from uplift.spec.base import Block
from uplift.spec.errors import Exit, SettingsError, UpliftError

USER = "deploy"


class Wanted(Block):
    """What was asked for, so that ``up`` without options asks for it again."""

    hosts: int = 3
    light: bool = False
    debian12: bool = False


class Host(Block):
    """A host of the lab as it is reached from this machine."""

    name: str
    kind: str
    address: str
    port: int
    ports: dict[int, int]

    @classmethod
    def at(cls, where: Addresses, name: str, kind: str) -> Self:
        """Return a host at its place among the lab's addresses."""
        ports = {inside: where.ports[inside] for inside in addresses.ports_of(kind)}
        return cls(name=name, kind=kind, address=where.of(name), port=ports[SSH_PORT], ports=ports)


class Registry(Block):
    """The lab's registry as it is reached from this machine."""

    address: str
    port: int

    @classmethod
    def at(cls, where: Addresses) -> Self:
        """Return the registry at its place among the lab's addresses."""
        return cls(address=where.of(names.REGISTRY), port=where.ports[REGISTRY_PORT])


class LabState(Block):
    """The contents of ``lab.json``."""

    format: Literal[1] = 1
    name: str
    folder: str
    wanted: Wanted = Wanted()
    hosts: tuple[Host, ...] = ()
    registry: Registry | None = None


class Places:
    """Files of one lab below the project folder.

    Args:
        folder: project folder.
        name: of the lab.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.project, self.name = folder, name
        self.folder = folder / ".uplift" / "lab" / name
        self.state = self.folder / "lab.json"
        self.key = self.folder / "id_ed25519"
        self.known_hosts = self.folder / "known_hosts"
        self.lock = self.folder / "lock"

    @classmethod
    def of(cls, name: str | None) -> Self:
        """Return the files of the lab that is meant here.

        Args:
            name: of the lab; by ``UPLIFT_LAB``, else by the checkout's path when left out.
        """
        folder = names.project_folder()
        return cls(folder, names.checked(name) if name else names.default_name(folder))

    def load(self) -> LabState | None:
        """Return what was remembered, or nothing when there is no such lab."""
        try:
            text = self.state.read_text()
        except FileNotFoundError:
            return None
        try:
            return LabState.parse(json.loads(text), path="lab", source=str(self.state))
        except (ValueError, SettingsError) as error:
            raise UpliftError(
                f"{self.state} cannot be read ({error}).\nRemove it and run `uplift lab up` again."
            ) from error

    def save(self, state: LabState) -> None:
        """Write ``lab.json`` whole, when it is not what it holds already."""
        write_changed(self.state, state.model_dump_json(indent=2) + "\n", 0o644)


@contextmanager
def locked(places: Places) -> Iterator[None]:
    """Keep a second ``up`` or ``down`` of the same lab out while this one runs.

    Raises:
        UpliftError: another one runs (exit code 4).
    """
    descriptor = _acquire(places)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _acquire(places: Places) -> int:
    file = places.lock
    while True:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # `down` removes the file while it holds it: ours must be the one that is there now.
            if os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        except FileNotFoundError:
            continue
        except BlockingIOError:
            pid = os.read(descriptor, 20).decode().strip()
            os.close(descriptor)
            raise _Locked(
                f"lab {places.name} is being changed by another run (process {pid})"
            ) from None
        os.close(descriptor)


class _Locked(UpliftError):
    exit_code = Exit.LOCKED


def find(name: str | None = None) -> tuple[Places, LabState]:
    """Return the lab that is meant: by name, by ``UPLIFT_LAB`` or by the checkout's path.

    Raises:
        NoLabError: this checkout remembers no such lab.
    """
    places = Places.of(name)
    state = places.load()
    if state is None or not state.hosts:
        raise NoLabError(places.name)
    return places, state


class NoLabError(UpliftError):
    """Say that there is no lab yet."""

    exit_code = Exit.USAGE

    def __init__(self, name: str, why: str = "is not there") -> None:
        folder = names.project_folder()
        option = "" if name == names.default_name(folder) else f" --name {name}"
        others = sorted(one.parent.name for one in folder.glob(".uplift/lab/*/lab.json"))
        there = " or ".join(f"export UPLIFT_LAB={one}" for one in others if one != name)
        known = f"; of this folder there is another: {there}" if there else ""
        super().__init__(f"lab {name} {why}: run `uplift lab up{option}`{known}")
