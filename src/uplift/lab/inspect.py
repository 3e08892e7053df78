"""What Docker says about labs: found by labels, also when their folder is gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from docker import DockerClient
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from uplift.lab import names

DISK_LIMIT = 120.0  # seconds for the Engine to end somebody else's count


def containers(client: DockerClient, lab: str) -> dict[str, Container]:
    """Return a lab's containers by what they are: ``lab-1``, ``registry``."""
    found = client.containers.list(all=True, filters={"label": f"{names.LABEL}={lab}"})
    return {container.labels[names.HOST]: container for container in found}


def labs(client: DockerClient) -> list[str]:
    """Return the names of all labs of which anything is there."""
    return sorted({labels[names.LABEL] for labels in _labels(client, names.LABEL)})


def owner(client: DockerClient, lab: str) -> str | None:
    """Return the project folder that a lab was made from."""
    labels = _labels(client, f"{names.LABEL}={lab}")
    return next((found[names.FOLDER] for found in labels if names.FOLDER in found), None)


def _labels(client: DockerClient, label: str) -> Iterator[dict[str, str]]:
    """Yield the labels of all that carries a label: networks, containers, volumes."""
    chosen: dict[str, str | list[str] | bool] = {"label": label}
    for network in client.networks.list(filters=chosen):
        yield network.attrs["Labels"]
    for container in client.containers.list(all=True, filters=chosen, ignore_removed=True):
        yield container.labels
    for volume in client.volumes.list(filters=chosen):
        yield volume.attrs["Labels"]


def order(part: str) -> tuple[int, int, str]:
    """Return by what hosts are sorted: lab-2 before lab-10, others last."""
    number = part.removeprefix("lab-")
    return (0, int(number), "") if number.isdigit() else (1, 0, part)


def disk(client: DockerClient, lab: str) -> dict[str, int]:
    """Return the bytes that a lab's hosts and volumes take, without their images."""
    usage = _usage(client)
    boxes = [c for c in usage["Containers"] or () if (c["Labels"] or {}).get(names.LABEL) == lab]
    volumes = [v for v in usage["Volumes"] or () if (v["Labels"] or {}).get(names.LABEL) == lab]
    return {
        "containers": sum(box.get("SizeRw", 0) for box in boxes),
        "volumes": sum(max(0, volume["UsageData"]["Size"]) for volume in volumes),
    }


def _usage(client: DockerClient) -> dict[str, Any]:
    """Return the Engine's count; it counts for one at a time and refuses all others meanwhile."""
    limit = time.monotonic() + DISK_LIMIT
    while True:
        try:
            return dict(client.df())
        except APIError as error:
            if "already running" not in str(error) or time.monotonic() > limit:
                raise
        time.sleep(0.5)


def remove_container(client: DockerClient, container: Container) -> list[str]:
    """Remove a container with its volumes; what is gone already is no error.

    Returns:
        The names of what was removed.
    """
    volumes = [m["Name"] for m in container.attrs["Mounts"] if m["Type"] == "volume"]
    removed = [f"container {container.name}"]
    with suppress(NotFound):
        container.remove(force=True, v=True)
    for volume in volumes:
        with suppress(NotFound):
            client.volumes.get(volume).remove(force=True)
            removed.append(f"volume {volume}")
    return removed
