"""Programs that install packages, on a host: settings, what a host has, and the difference."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import field_validator

from uplift.spec.base import Block

ROOT = "/opt/uv-tools"
"""Every tool has a folder in it, named after its package."""

LINKS = "/usr/local/bin"

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_PIN = re.compile(r"(?P<name>[a-z0-9]([a-z0-9-]*[a-z0-9])?)==(?P<version>[0-9][A-Za-z0-9.!+]*)")


class Tools(Block):
    """What a host needs to install packages.

    Args:
        packages: of the distribution, for example ``("nodejs", "npm")``.
        uv: packages of an index with programs, each with its version: ``("poetry==2.2.1",)``.
    """

    packages: tuple[str, ...] = ()
    uv: tuple[str, ...] = ()

    @field_validator("packages")
    @classmethod
    def _check_packages(cls, packages: tuple[str, ...]) -> tuple[str, ...]:
        for package in packages:
            if not _PACKAGE.fullmatch(package):
                msg = f"must be names of packages as apt has them, without a version; {package!r}"
                raise ValueError(msg)
        return packages

    @field_validator("uv")
    @classmethod
    def _check_uv(cls, pins: tuple[str, ...]) -> tuple[str, ...]:
        for pin in pins:
            if not _PIN.fullmatch(pin):
                msg = (
                    "a tool has one version, so that every host has the same, and its name is in "
                    f"lower case with '-': for example 'poetry==2.2.1'; found {pin!r}"
                )
                raise ValueError(msg)
        twins = [name for name, count in Counter(map(name_of, pins)).items() if count > 1]
        if twins:
            msg = f"{twins[0]!r} is listed more than once"
            raise ValueError(msg)
        return pins


def name_of(pin: str) -> str:
    """Return the package of a pin: ``poetry`` of ``poetry==2.2.1``."""
    return pin.partition("==")[0]


@dataclass(frozen=True)
class HostState:
    """What a host has of the wanted tools.

    Args:
        uid: user that looked.
        apt: whether there is ``apt-get``.
        uv: whether there is a ``uv`` in the search path.
        packages: those that are installed.
        tools: version by name; empty when the tool is there and does not work.
    """

    uid: int
    apt: bool
    uv: bool
    packages: frozenset[str] = frozenset()
    tools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What is to be installed.

    Args:
        packages: of the distribution.
        install: pins of tools that are not there.
        repair: pins of tools that are there, in another version or damaged.
        words: each change, for people; empty when nothing is to be done.
    """

    packages: tuple[str, ...]
    install: tuple[str, ...]
    repair: tuple[str, ...]
    words: tuple[str, ...]


def plan(settings: Tools, state: HostState) -> Plan:
    """Compare what a host has with what the settings want.

    Args:
        settings: of this host.
        state: what the host has.
    """
    packages = tuple(name for name in settings.packages if name not in state.packages)
    wrong = [pin for pin in settings.uv if f"{name_of(pin)}=={_found(state, pin)}" != pin]
    repair = tuple(pin for pin in wrong if _found(state, pin) is not None)
    install = tuple(pin for pin in wrong if pin not in repair)
    words = (
        *[f"{name} installed" for name in (*packages, *install)],
        *[f"{name_of(pin)} {_found(state, pin) or 'damaged'} -> {pin}" for pin in repair],
    )
    return Plan(packages, install, repair, words)


def refusal(todo: Plan, state: HostState) -> str | None:
    """Return why a host cannot be given what it lacks, if it cannot.

    Args:
        todo: what it lacks.
        state: what the host has.
    """
    if todo.words and state.uid != 0:
        return "tools: this needs root; set _sudo = True in the group data"
    if todo.packages and not state.apt:
        names = " ".join(todo.packages)
        return f"tools: there is no apt-get on this host: install {names} in its own way"
    if (todo.install or todo.repair) and not state.uv:
        return "tools: there is no uv on this host: set the block uv and run deploys/uv.py first"
    return None


def _found(state: HostState, pin: str) -> str | None:
    return state.tools.get(name_of(pin))
