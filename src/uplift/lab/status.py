"""What there is of labs, as Docker says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docker import DockerClient
from docker.models.containers import Container

from uplift.lab import addresses, engine, images, inspect, names
from uplift.lab.addresses import REGISTRY_PORT, SSH_PORT, Addresses
from uplift.lab.network import addresses_of, networks
from uplift.lab.state import USER, NoLabError, Places


def status(name: str | None = None) -> dict[str, Any]:
    """Return what there is of one lab, as ``uplift lab status --json`` prints it.

    Args:
        name: of the lab; by the checkout's path when left out.

    Raises:
        NoLabError: there is nothing of it.
    """
    chosen = Places.of(name).name
    client = engine.connect()
    network = networks(client).get(chosen)
    found = inspect.containers(client, chosen)
    if network is None:
        raise NoLabError(chosen, "is there in parts only" if found else "is not there")
    owner = network.attrs["Labels"][names.FOLDER]
    at, places = addresses_of(network), Places(Path(owner), chosen)
    return {
        "name": chosen,
        "folder": owner,
        "hosts": _hosts(found, at, places),
        "images": {image.name: _image(image) for image in images.stored()},
        "registry": _registry(found.get(names.REGISTRY), at),
        "disk": inspect.disk(client, chosen),
    }


def _hosts(found: dict[str, Container], at: Addresses, places: Places) -> list[dict[str, Any]]:
    known = {host.name: host.kind for host in _remembered(places)}
    known |= {n: c.labels[names.KIND] for n, c in found.items() if n != names.REGISTRY}
    ordered = sorted(known, key=inspect.order)
    member = names.groups(ordered) if ordered else {}
    return [
        {
            "name": name,
            "address": at.of(name),
            "port": at.ports[SSH_PORT],
            "user": USER,
            "identity_file": str(places.key),
            "known_hosts_file": str(places.known_hosts),
            "groups": [group for group, hosts in member.items() if name in hosts],
            "kind": known[name],
            "state": found[name].status if name in found else "missing",
            "container": names.resource(places.folder.name, name),
            "ports": _ports(known[name], at),
        }
        for name in ordered
    ]


def _remembered(places: Places) -> tuple[Any, ...]:
    state = places.load()
    return state.hosts if state else ()


def _ports(kind: str, at: Addresses) -> dict[str, int]:
    return {str(port): at.ports[port] for port in addresses.ports_of(kind)}


def _image(image: images.Image) -> dict[str, Any]:
    return {"tag": image.tag, "how": image.how, "size": image.size}


def _registry(container: Container | None, at: Addresses) -> dict[str, Any]:
    address, port = at.of(names.REGISTRY), at.ports[REGISTRY_PORT]
    return {
        "address": address,
        "port": port,
        "url": f"http://{address}:{port}",
        "name": f"{names.REGISTRY}:{REGISTRY_PORT}",
        "state": container.status if container else "missing",
    }


def all_labs() -> list[dict[str, Any]]:
    """Return every lab on this machine in short, also those whose folder is gone."""
    client = engine.connect()
    return [_short(client, name) for name in inspect.labs(client)]


def _short(client: DockerClient, name: str) -> dict[str, Any]:
    found = inspect.containers(client, name)
    hosts = {part: box.status for part, box in found.items() if part != names.REGISTRY}
    owner = inspect.owner(client, name)
    return {
        "name": name,
        "folder": owner,
        "orphan": owner is None or not Places(Path(owner), name).folder.is_dir(),
        "hosts": dict(sorted(hosts.items(), key=lambda item: inspect.order(item[0]))),
        "registry": found[names.REGISTRY].status if names.REGISTRY in found else "missing",
    }
