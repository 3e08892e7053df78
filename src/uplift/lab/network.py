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
from uplift.spec.errors import UpliftError, UsageError


def ensure_network(
    client: DockerClient, labels: Mapping[str, str], report: Report, changed: list[str]
) -> Addresses:
    """Return the lab's addresses, making its network when there is none.

    Args:
        client: of the Engine.
        labels: that everything of the lab carries.
        report: told when the network is made.
        changed: a line is added when the network is made.

    Raises:
        UsageError: a lab of this name belongs to another folder.
    """
    lab = labels[names.LABEL]
    with _machine_lock():
        found = networks(client)
        if lab in found:
            return _of_this_folder(found[lab], labels)
        report("choosing addresses, creating the network")
        at = choose(lab, {addresses_of(network).block for network in found.values()})
        try:
            client.networks.create(
                names.resource(lab),
                driver="bridge",
                labels={**labels, names.ADDRESSES: at.model_dump_json()},
            )
        except APIError as error:
            raise UpliftError(f"no network for the lab: {error.explanation}") from error
    changed.append(f"network {names.resource(lab)} on 127.0.{at.block}.x")
    return at


def networks(client: DockerClient) -> dict[str, Network]:
    """Return the networks of all labs on this machine, by lab."""
    found = client.networks.list(filters={"label": [names.LABEL, names.ADDRESSES]})
    return {(network.attrs.get("Labels") or {})[names.LABEL]: network for network in found}


def addresses_of(network: Network) -> Addresses:
    """Return the addresses that a lab's network holds for it."""
    return Addresses.model_validate_json(network.attrs["Labels"][names.ADDRESSES])


def _of_this_folder(network: Network, labels: Mapping[str, str]) -> Addresses:
    lab, owner = labels[names.LABEL], network.attrs["Labels"][names.FOLDER]
    if owner != labels[names.FOLDER]:
        gone = "" if Path(owner).exists() else ", which is gone"
        raise UsageError(
            f"lab {lab} belongs to {owner}{gone}.\n"
            f"Choose another --name, or remove it: uplift lab down {lab}"
        )
    return addresses_of(network)


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
