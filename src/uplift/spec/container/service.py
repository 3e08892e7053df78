"""What settings of services have in common: where their container listens and keeps its data."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, TypeAdapter

from uplift.spec.container.models import HostName, Mount, Name, Network, Path


def _address(value: str) -> str:
    ipaddress.ip_address(value)
    return value


_PATH, _NAME = TypeAdapter[str](Path), TypeAdapter[str](Name)


def _place(value: str) -> str:
    if value.startswith("/"):
        return _PATH.validate_python(value)
    try:
        return _NAME.validate_python(value)
    except ValueError:
        msg = "the name of a volume, or the absolute path of a folder of the host"
        raise ValueError(msg) from None


def _own(given: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    if {"host", "bridge", "none"} & given.keys():
        msg = "networks of one's own; without any, the container is on Docker's 'bridge'"
        raise ValueError(msg)
    return given


Address = Annotated[str, AfterValidator(_address)]
"""An address of the host."""

Place = Annotated[str, AfterValidator(_place)]
"""A volume's name, or a folder of the host."""

Networks = Annotated[dict[Name, tuple[HostName, ...]], AfterValidator(_own)]
"""Further names of the container, by network."""


def mount(place: str, target: str) -> Mount:
    """Return how a place is seen in the container.

    Args:
        place: volume or folder.
        target: path inside.
    """
    if place.startswith("/"):
        return Mount(source=place, target=target)
    return Mount(volume=place, target=target)


def networks(given: Mapping[str, tuple[str, ...]]) -> tuple[Network, ...]:
    """Return the networks of the container.

    Args:
        given: as settings have them.
    """
    return tuple(Network(name=name, aliases=names) for name, names in given.items())


def url(address: str, port: int) -> str:
    """Return where the host itself reaches a published port by HTTP.

    Args:
        address: of the host; one that stands for all is reached by loopback.
        port: of the host.
    """
    found = ipaddress.ip_address(address)
    if found.is_unspecified:
        found = ipaddress.ip_address("::1" if found.version == 6 else "127.0.0.1")
    return f"http://{f'[{found}]' if found.version == 6 else found}:{port}"
