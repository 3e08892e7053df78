"""The lab's registry: it plays the public one, plain HTTP, each lab has its own."""

from __future__ import annotations

from typing import NamedTuple

import requests
from docker import DockerClient
from docker.errors import APIError

from uplift.lab import engine, images, inspect, names
from uplift.lab.addresses import REGISTRY_PORT
from uplift.lab.images import Image
from uplift.lab.network import addresses_of, networks
from uplift.lab.report import Report
from uplift.lab.state import NoLabError, Places
from uplift.spec.errors import UpliftError

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LIMIT = 30  # seconds


class Pushed(NamedTuple):
    """An image in the lab's registry.

    Args:
        image: as it is on this machine, and how it was obtained.
        reference: what hosts of the lab call it.
        digest: of it there.
        fresh: it was not there before.
    """

    image: Image
    reference: str
    digest: str
    fresh: bool


def push(name: str, *, lab: str | None = None, yes: bool = False, report: Report) -> Pushed:
    """Have an image on this machine and in the lab's registry.

    Args:
        name: of the image, one of ``images.NAMES``.
        lab: its name; by the checkout's path when left out.
        yes: build tools may be installed on this machine.
        report: told what is being done.

    Raises:
        NoLabError: the lab's registry does not run.
    """
    tag = images.lab_tag(name)
    client = engine.connect()
    address = _address(client, Places.of(lab).name)
    image = images.ensure(name, report, install=yes)
    repository, _, word = tag.rpartition(":")
    digest = _there(client, image, address, repository, word)
    if fresh := not digest:
        report(f"pushing {name} to the lab's registry")
        digest = _push(client, image, f"{address}/{repository}", word)
    return Pushed(image, f"{names.REGISTRY}:{REGISTRY_PORT}/{tag}", digest, fresh)


def _there(client: DockerClient, image: Image, address: str, repository: str, tag: str) -> str:
    """Return the digest of an image that the registry has already, or nothing."""
    answer = requests.get(
        f"http://{address}/v2/{repository}/manifests/{tag}",
        headers={"Accept": _MANIFEST},
        timeout=_LIMIT,
        proxies={"http": ""},
    )
    # A manifest names its image by the id that the Engine knows it by (image-spec, manifest.md).
    same = answer.ok and answer.json()["config"]["digest"] == client.images.get(image.tag).id
    return answer.headers["Docker-Content-Digest"] if same else ""


def _address(client: DockerClient, lab: str) -> str:
    network = networks(client).get(lab)
    box = inspect.containers(client, lab).get(names.REGISTRY)
    if network is None or box is None or box.status != "running":
        raise NoLabError(lab, "has no running registry")
    at = addresses_of(network)
    return f"{at.of(names.REGISTRY)}:{at.ports[REGISTRY_PORT]}"


def _push(client: DockerClient, image: Image, repository: str, tag: str) -> str:
    """Push under a name that only exists for the push, so that `down` leaves nothing behind."""
    client.images.get(image.tag).tag(repository, tag)
    digest = ""
    try:
        for line in client.images.push(repository, tag, stream=True, decode=True):
            if "error" in line:
                raise UpliftError(f"{image.name} was not pushed: {line['error']}")
            digest = (line.get("aux") or {}).get("Digest", digest)
    except APIError as error:
        raise UpliftError(f"{image.name} was not pushed: {error.explanation}") from error
    finally:
        client.images.remove(f"{repository}:{tag}", noprune=True)
    return digest
