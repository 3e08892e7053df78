"""The local Docker Engine: build, import, pull and look up images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.images import Image as EngineImage
from requests import RequestException

from uplift.lab import engine
from uplift.lab.images.places import Report
from uplift.lab.images.processes import Tail
from uplift.spec.errors import UpliftError

PROBE_LIMIT = 8  # seconds
SILENCE_LIMIT = 1800  # seconds without a line before a build or a pull counts as stuck
STEP = re.compile(r"Step \d+/\d+")


def connect(timeout: float = SILENCE_LIMIT) -> docker.DockerClient:
    """Reach the local Docker Engine.

    Raises:
        UpliftError: it does not answer; the text says what to do.
    """
    return engine.connect(timeout)


def find(client: docker.DockerClient, tag: str) -> EngineImage | None:
    """Look up an image by its tag; None when it is not there."""
    try:
        return client.images.get(tag)
    except ImageNotFound:
        return None


def build(
    client: docker.DockerClient,
    context: Path,
    tag: str,
    *,
    args: Mapping[str, str],
    labels: Mapping[str, str],
    report: Report,
) -> None:
    """Build an image with the Engine's own builder, which every version has without a plugin.

    Args:
        client: the Engine.
        context: tar file with the Dockerfile.
        tag: what to call the image once it is complete.
        args: build arguments.
        labels: labels of the complete image.
        report: told each step, and now and then how it goes.

    Raises:
        UpliftError: a step failed; the message ends with its last lines.
    """
    with context.open("rb") as handle:
        stream = client.api.build(
            fileobj=handle,
            custom_context=True,
            tag=tag,
            buildargs=dict(args),
            labels=dict(labels),
            rm=True,
            forcerm=True,
            decode=True,
            timeout=SILENCE_LIMIT,
            use_config_proxy=True,
        )
        _follow(stream, tag, report)


def _follow(stream: Iterable[Mapping[str, Any]], what: str, report: Report) -> None:
    tail = Tail(report)
    for event in stream:
        if "error" in event:
            raise UpliftError("\n".join([f"{what}: {event['error']}", *tail.lines]))
        for line in str(event.get("stream", event.get("status", ""))).splitlines():
            tail.add(line, important=STEP.match(line) is not None)


def import_tree(
    client: docker.DockerClient, archive: Path, tag: str, labels: Mapping[str, str]
) -> None:
    """Make an image of one layer from a tar file of a root folder.

    Raises:
        UpliftError: the Engine refused it.
    """
    repository, _, version = tag.rpartition(":")
    changes = [f'LABEL "{key}"="{value}"' for key, value in labels.items()]
    changes.append('CMD ["bash"]')
    answer = client.api.import_image_from_file(
        str(archive), repository=repository, tag=version, changes=changes
    )
    if find(client, tag) is None:
        raise UpliftError(f"{tag}: the Engine did not import it: {answer}")


def pull(client: docker.DockerClient, reference: str, report: Report) -> str | None:
    """Pull an image, if its registry gives it.

    Args:
        client: the Engine.
        reference: repository and tag.
        report: told how it goes.

    Returns:
        None when it is there, else why it is not.
    """
    repository, _, version = reference.rpartition(":")
    try:
        stream = client.api.pull(repository, tag=version, stream=True, decode=True)
        _follow(stream, reference, report)
    except (DockerException, RequestException, UpliftError) as error:
        return str(error).splitlines()[0]
    return None


@cache
def registry_answers(reference: str) -> bool:
    """Ask once a process whether the registry of an image answers the Engine.

    Args:
        reference: an image that the registry is known to have.
    """
    try:
        connect(timeout=PROBE_LIMIT).images.get_registry_data(reference)
    except (APIError, RequestException):
        return False
    return True
