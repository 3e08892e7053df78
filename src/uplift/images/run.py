"""List what is built for an inventory: read from its registries, and from its hosts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uplift.facts.images_listing import REGISTRY, RUNNING, answers, question, running
from uplift.remote import inventory as inventories
from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.remote.settings import from_host
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.images.listing import Listed, Manifest, Running, image, joined

READ_LIMIT = 180  # seconds for one question to a host or, through it, to a registry


@dataclass(frozen=True)
class Overview:
    """What there is, and what could not be seen.

    Args:
        images: by repository, the newest first.
        hosts: that were asked what they run.
        unreachable: why hosts could not be reached, by name.
        troubles: what hosts or registries did not tell, in words.
    """

    images: tuple[Listed, ...]
    hosts: tuple[str, ...]
    unreachable: Mapping[str, str]
    troubles: tuple[str, ...]

    @property
    def exit_code(self) -> Exit:
        """Return that of the command: hosts that are away are a class of their own."""
        if self.unreachable:
            return Exit.HELD
        return Exit.FAILED if self.troubles else Exit.DONE


def listed(inventory: str, limit: Sequence[str] = ()) -> Overview:
    """Read images from the registries and containers from the hosts.

    A registry is asked by the first host that builds for it and can be reached: that host may log
    in there.

    Args:
        inventory: a file, or what else pyinfra takes as an inventory.
        limit: groups or patterns of names of the hosts whose containers are looked at.

    Raises:
        UsageError: no host builds images.
        SettingsError: the settings of a host are wrong.
    """
    every = inventories.hosts(inventory)
    builders = _builders(every, inventory)
    shown = [host.name for host in inventories.select(every, tuple(limit), inventory)]
    asked = {*shown, *(name for names in builders.values() for name in names)}
    troubles: list[str] = []
    with Fleet([host for host in every if host.name in asked]) as fleet:
        said = fleet.each(lambda it: _running(it) if it.name in shown else [])
        away = {name: str(error) for name, error in fleet.unreachable.items()}
        found = _registries(fleet, builders, troubles)
    containers: dict[str, Sequence[Running]] = {}
    for name, outcome in said.items():
        if isinstance(outcome, UpliftError):
            troubles.append(_named(name, outcome))
        else:
            containers[name] = outcome
    images = joined(found, builders, containers)
    return Overview(tuple(images), tuple(shown), away, tuple(troubles))


def _builders(every: Sequence[InventoryHost], inventory: str) -> dict[str, list[str]]:
    """Return the hosts that build, by repository."""
    found: dict[str, list[str]] = {}
    for host in every:
        settings = from_host(host, inventory)
        for one in settings.images.build if settings.images else ():
            names = found.setdefault(one.name, [])
            names += [] if host.name in names else [host.name]
    if not found:
        raise UsageError(
            f"no host of {inventory} builds images: the block 'images' of the group data says which"
        )
    return found


def _registries(
    fleet: Fleet, builders: Mapping[str, Sequence[str]], troubles: list[str]
) -> list[Listed]:
    todo: dict[str, list[str]] = {}
    for repository, names in builders.items():
        reached = [name for name in names if name not in fleet.unreachable]
        if reached:
            todo.setdefault(reached[0], []).append(repository)
        else:
            hosts = " or ".join(names)
            troubles.append(f"{repository}: its registry was not asked: no way to {hosts}")

    def ask(it: Connection) -> tuple[list[Listed], list[str]]:
        images, wrong = [], []
        for repository in todo.get(it.name, ()):
            try:
                images += _of(it, repository)
            except (UpliftError, ValueError, KeyError, TypeError) as error:
                wrong.append(_named(f"{repository}, asked by {it.name}", error))
        return images, wrong

    found: list[Listed] = []
    for name, outcome in fleet.each(ask).items():
        if isinstance(outcome, UpliftError):
            troubles.append(_named(name, outcome))
        else:
            found += outcome[0]
            troubles += outcome[1]
    return found


def _of(it: Connection, repository: str) -> list[Listed]:
    """Return the images of one repository: tags, manifests, those of platforms, configurations."""
    tags: list[str] = []
    for _, status, body in _get(it, repository, ["tags/list?n=1000"]):
        if status == 404:
            return []  # nothing was pushed yet
        _good(it, repository, status)
        tags += json.loads(body).get("tags") or []
    tops: dict[str, Manifest] = {}
    named: dict[str, list[str]] = {}
    for tag, manifest in _manifests(it, repository, tags).items():
        tops[manifest.digest] = manifest
        named.setdefault(manifest.digest, []).append(tag)
    inner = {child for manifest in tops.values() for child in manifest.children}
    known = {**tops, **_manifests(it, repository, sorted(inner))}
    wanted = sorted({f"blobs/{one.config}" for one in known.values() if one.config})
    blobs = {path: body for path, status, body in _get(it, repository, wanted) if status == 200}
    found = []
    for digest, top in tops.items():
        parts = [known[one] for one in top.children or (digest,) if one in known]
        bodies = [
            (one, blobs[f"blobs/{one.config}"]) for one in parts if f"blobs/{one.config}" in blobs
        ]
        found.append(image(repository, named[digest], top, bodies))
    return found


def _manifests(it: Connection, repository: str, names: Sequence[str]) -> dict[str, Manifest]:
    """Return manifests by tag or digest; a tag that went meanwhile is left out."""
    answered = _get(it, repository, [f"manifests/{name}" for name in names])
    found = {}
    for path, status, body in answered:
        if status != 404:
            _good(it, repository, status)
            found[path.removeprefix("manifests/")] = Manifest.parse(body)
    return found


def _get(it: Connection, repository: str, paths: Sequence[str]) -> list[tuple[str, int, bytes]]:
    if not paths:
        return []
    done = it.run(REGISTRY, *question(repository, *paths), time_limit=READ_LIMIT)
    return answers(done.stdout.splitlines())


def _good(it: Connection, repository: str, status: int) -> None:
    if status in (401, 403):
        raise UpliftError(f"the registry refuses root's login of {it.name}: see docs/clients.md")
    if status != 200:
        raise UpliftError(f"the registry answers with status {status}")


def _running(it: Connection) -> list[Running]:
    done = it.run(RUNNING, time_limit=READ_LIMIT)
    try:
        return running(done.stdout.splitlines())
    except (ValueError, KeyError) as error:
        raise UpliftError(str(error)) from None


def _named(what: str, error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if text.startswith(what) else f"{what}: {text}"
