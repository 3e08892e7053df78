"""The lab's own network: it also holds the addresses that were chosen for the lab."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from docker import DockerClient
from docker.errors import APIError
from docker.models.networks import Network

from uplift.lab import names
from uplift.lab.addresses import Addresses, choose
from uplift.lab.report import Report
from uplift.lab.state import Places
from uplift.spec.errors import UpliftError, UsageError


def check_owner(client: DockerClient, places: Places) -> None:
    """Refuse to touch a lab that another folder made.

    Raises:
        UsageError: it belongs to another folder, which may be gone.
    """
    found = networks(client).get(places.name)
    owner = found.attrs["Labels"][names.FOLDER] if found else str(places.project)
    if owner != str(places.project):
        gone = "" if Path(owner).exists() else ", which is gone"
        raise UsageError(
            f"lab {places.name} belongs to {owner}{gone}.\n"
            f"Choose another --name, or remove it: uplift lab down {places.name}"
        )


def ensure_network(
    client: DockerClient, labels: Mapping[str, str], report: Report
) -> tuple[Addresses, list[str]]:
    """Return the lab's addresses, making its network when there is none.

    Args:
        client: of the Engine.
        labels: that everything of the lab carries.
        report: told when the network is made.

    Returns:
        The addresses, and a line that says what was made; none when the network was there.
    """
    name = names.resource(labels[names.LABEL])
    with _machine_lock():
        found = networks(client)
        if labels[names.LABEL] in found:
            return addresses_of(found[labels[names.LABEL]]), []
        report("choosing addresses, creating the network")
        at = choose(name, {addresses_of(network).block for network in found.values()})
        try:
            client.networks.create(
                name,
                driver="bridge",
                labels={**labels, names.ADDRESSES: at.model_dump_json()},
            )
        except APIError as error:
            raise UpliftError(f"no network for the lab: {error.explanation}") from error
    return at, [f"network {name} on 127.0.{at.block}.x"]


def networks(client: DockerClient) -> dict[str, Network]:
    """Return the networks of all labs on this machine, by lab."""
    found = client.networks.list(filters={"label": [names.LABEL, names.ADDRESSES]})
    return {(network.attrs.get("Labels") or {})[names.LABEL]: network for network in found}


def addresses_of(network: Network) -> Addresses:
    """Return the addresses that a lab's network holds for it."""
    return Addresses.model_validate_json(network.attrs["Labels"][names.ADDRESSES])


@contextmanager
def _machine_lock() -> Iterator[None]:
    """Let only one lab at a time choose addresses."""
    file = Path(tempfile.gettempdir()) / f"uplift-lab-addresses-{os.getuid()}.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
