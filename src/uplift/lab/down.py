"""Remove a lab: by its labels alone, so that it works when the checkout is gone."""

from __future__ import annotations

import shutil
from contextlib import nullcontext, suppress
from pathlib import Path

from docker import DockerClient
from docker.errors import APIError

from uplift.lab import engine, images, inspect, names
from uplift.lab.report import Report, silent
from uplift.lab.state import Places, locked
from uplift.spec.base import near_miss
from uplift.spec.errors import UpliftError, UsageError


def down(
    name: str | None = None, *, with_images: bool = False, report: Report = silent
) -> list[str]:
    """Remove all that a lab made, and nothing else.

    Args:
        name: of the lab; by the checkout's path when left out.
        with_images: remove the lab's images as well, unless another lab is there.
        report: told what is being done.

    Returns:
        One line for each thing that was removed; empty when there was nothing.

    Raises:
        UsageError: there is nothing of the lab that was named.
    """
    places = Places.of(name)
    client = engine.connect()
    if owner := inspect.owner(client, places.name):
        places = Places(Path(owner), places.name)
    with locked(places) if places.folder.is_dir() else nullcontext():
        removed = _containers(client, places.name, report)
        removed += _volumes(client, places.name)
        removed += _networks(client, places.name)
        removed += _files(places)
    if name and not removed:
        raise UsageError(_unknown(places.name, inspect.labs(client)))
    if with_images:
        removed += _images(client, report)
    return removed


def _unknown(name: str, known: list[str]) -> str:
    guess = near_miss(name, known)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return (
        f"there is no lab {name!r} on this machine.{hint} There are: {', '.join(known) or 'none'}"
    )


def _containers(client: DockerClient, lab: str, report: Report) -> list[str]:
    removed = []
    for part, container in inspect.containers(client, lab).items():
        report(f"removing {part}")
        removed += inspect.remove_container(client, container)
    return removed


def _volumes(client: DockerClient, lab: str) -> list[str]:
    """Remove volumes whose container is gone, or was never made."""
    removed = []
    for volume in client.volumes.list(filters={"label": f"{names.LABEL}={lab}"}):
        volume.remove(force=True)
        removed.append(f"volume {volume.name}")
    return removed


def _networks(client: DockerClient, lab: str) -> list[str]:
    removed = []
    for network in client.networks.list(filters={"label": f"{names.LABEL}={lab}"}):
        try:
            network.remove()
        except APIError as error:
            raise UpliftError(
                f"network {network.name} is still used by something that is not the lab's: "
                f"{error.explanation}"
            ) from error
        removed.append(f"network {network.name}")
    return removed


def _files(places: Places) -> list[str]:
    if not places.folder.is_dir():
        return []
    shutil.rmtree(places.folder)
    for parent in (places.folder.parent, places.folder.parent.parent):
        with suppress(OSError):  # something else is in it
            parent.rmdir()
    return [f"folder {places.folder}"]


def _images(client: DockerClient, report: Report) -> list[str]:
    if others := inspect.labs(client):
        report(f"images are kept: also used by {', '.join(others)}")
        return []
    report("removing images")
    before = images.stored()
    for line in images.remove(before):
        report(f"kept {line}")
    kept = {image.tag for image in images.stored()}
    return [f"image {image.tag}" for image in before if image.tag not in kept]
