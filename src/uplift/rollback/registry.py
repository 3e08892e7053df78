"""Find out once what a word means at a registry, for all waves of a rollback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from uplift.facts.images import RESOLVE
from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.spec.app.release import Release
from uplift.spec.container.image import Reference
from uplift.spec.errors import UpliftError
from uplift.spec.images.state import parse

ANSWER_LIMIT = 120  # seconds; the daemon gets 60 of them


def resolved(
    hosts: Sequence[InventoryHost], chosen: Mapping[str, Release]
) -> dict[str, Release | str]:
    """Return what hosts go back to where only a registry has it, by one question a repository.

    Each wave is a run of its own, and a tag may be moved between two of them.

    Args:
        hosts: all of them.
        chosen: by host; what is on the host, or named by its digest, is passed over.

    Returns:
        By host the release with its digest, or why it cannot be had.
    """
    known: dict[str, Release | str] = {}
    found = {}
    for host in hosts:
        release = chosen.get(host.name)
        if release is None or not _only_at_registry(release):
            continue
        reference = Reference.parse(release.reference)
        if not reference.digest:
            if reference.name not in known:
                known[reference.name] = _answered(host, release)
            found[host.name] = known[reference.name]
    return found


def pinned(chosen: Iterable[Release]) -> dict[str, str]:
    """Return the data by which the deploy knows what was found at registries; empty without any.

    Args:
        chosen: releases that hosts go back to.
    """
    found = [one for one in chosen if one.digest and _only_at_registry(one)]
    images = {f"{one.reference}@{one.digest}" for one in found}
    return {"pinned": ",".join(sorted(images))} if images else {}


def _only_at_registry(release: Release) -> bool:
    return not release.id and not release.local


def _answered(host: InventoryHost, release: Release) -> Release | str:
    try:
        return replace(release, digest=_digest(host, release.reference))
    except UpliftError as error:
        return f"{release.reference} is not on the host, and cannot be had: {error}"


def _digest(host: InventoryHost, reference: str) -> str:
    """Ask a registry, as the Docker of a host does.

    Raises:
        UpliftError: there is no answer, or no such image.
    """

    def ask(connection: Connection) -> str:
        words = (reference, Reference.parse(reference).registry)
        return connection.run(RESOLVE, *words, time_limit=ANSWER_LIMIT).stdout

    with Fleet([host]) as fleet:
        answers: dict[str, str | UpliftError] = {**fleet.unreachable, **fleet.each(ask)}
    answer = answers[host.name]
    if isinstance(answer, UpliftError):
        raise answer
    try:
        said = parse(answer.splitlines())
    except ValueError as error:
        raise UpliftError(f"{host.name}: {error}") from None
    if digest := said.digests.get(reference):
        return digest
    raise UpliftError(said.troubles.get(reference, "the registry has no such image"))
