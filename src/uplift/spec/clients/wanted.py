"""From settings to entries: what each client file shall hold."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from uplift.spec.clients import ini, netrc, npmrc, state
from uplift.spec.clients.models import (
    Clients,
    DockerConfig,
    NetrcEntry,
    Npmrc,
    Pip,
    Pypirc,
    UserFiles,
    UvToml,
    npm_scope,
)
from uplift.spec.clients.state import Place
from uplift.spec.secret import Secret, SecretRef

Resolve = Callable[[SecretRef], Secret]


@dataclass(frozen=True)
class Entry:
    """One thing that a file shall hold.

    Args:
        key: its name, in the words of the file's format.
        value: its value; of a secret one only a fingerprint is ever shown.
        secret: whether the value is secret.
    """

    key: str
    value: str = field(repr=False)
    secret: bool = False


@dataclass(frozen=True)
class Wanted:
    """What one file shall hold.

    Args:
        place: where the file belongs.
        entries: in the order in which a new file has them.
        unwanted: keys that would win over ours and therefore go.
        faults: why a value cannot stand in this file.
    """

    place: Place
    entries: tuple[Entry, ...]
    unwanted: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def wanted(settings: Clients, resolve: Resolve, ca_bundle: str | None = None) -> list[Wanted]:
    """Return the files of a host that hold anything of ours.

    Args:
        settings: the block ``clients``.
        resolve: gives a secret for its reference.
        ca_bundle: file with the host's certificates, when extra ones are installed; then every
            client is told to use it.

    Raises:
        UpliftError: a secret is missing.
    """
    pip = settings.pip or (Pip() if ca_bundle else None)
    uv = settings.uv or (UvToml() if ca_bundle else None)
    files = [file for user in settings.users for file in _user(user, resolve, ca_bundle)]
    if uv:
        files.append(Wanted(Place(state.HOST, state.HOST_UV), tuple(_uv(uv, ca_bundle))))
    if pip:
        files.append(Wanted(Place(state.HOST, state.HOST_PIP), tuple(_pip(pip, ca_bundle))))
    return [file for file in files if file.entries or file.faults]


def _user(user: UserFiles, resolve: Resolve, ca_bundle: str | None) -> Iterator[Wanted]:
    name = user.user
    if user.netrc:
        yield _netrc(Place(name, state.NETRC), user.netrc, resolve)
    if user.npmrc:
        yield _npmrc(Place(name, state.NPMRC), user.npmrc, resolve, ca_bundle)
    if user.pip:
        yield Wanted(Place(name, state.PIP), tuple(_pip(user.pip, ca_bundle)))
    if user.pypirc:
        yield _pypirc(Place(name, state.PYPIRC), user.pypirc, resolve)
    if user.docker:
        yield Wanted(Place(name, state.DOCKER), tuple(_docker(user.docker, resolve)))


def _netrc(place: Place, machines: list[NetrcEntry], resolve: Resolve) -> Wanted:
    entries, faults = [], []
    for machine in machines:
        password = resolve(machine.password).reveal()
        for what, value in ("login", machine.login), (str(machine.password), password):
            if reason := netrc.fault(value):
                faults.append(f"machine {machine.machine}: {what}: {reason}")
        value = netrc.pair(machine.login, password)
        entries.append(Entry(f"machine {machine.machine}", value, secret=True))
    return Wanted(place, tuple(entries), faults=tuple(faults))


def _npmrc(place: Place, settings: Npmrc, resolve: Resolve, ca_bundle: str | None) -> Wanted:
    entries = [] if settings.registry is None else [Entry("registry", _slash(settings.registry))]
    entries += [Entry(f"{name}:registry", _slash(url)) for name, url in settings.scopes.items()]
    unwanted, faults = [], []
    for auth in settings.auth:
        scope = npm_scope(auth.url)
        if auth.token:
            key, value = f"{scope}:_authToken", resolve(auth.token).reveal()
            if reason := npmrc.fault(value):
                faults.append(f"{key}: {auth.token}: {reason}")
        else:
            assert auth.username and auth.password
            key, value = f"{scope}:_auth", _basic(auth.username, resolve(auth.password))
        entries.append(Entry(key, value, secret=True))
        unwanted += [other for other in npmrc.auth_keys(scope) if other != key]
    options = settings.model_dump(exclude={"registry", "scopes", "auth"})
    options["cafile"] = settings.cafile or ca_bundle
    entries += [Entry(key, _text(value)) for key, value in _options(options)]
    return Wanted(place, tuple(entries), tuple(unwanted), tuple(faults))


def _pip(settings: Pip, ca_bundle: str | None) -> Iterator[Entry]:
    options = settings.model_dump()
    options["cert"] = settings.cert or ca_bundle
    for key, value in _options(options):
        yield Entry(f"[global] {key}", " ".join(value) if key == "trusted-host" else _text(value))


def _pypirc(place: Place, settings: Pypirc, resolve: Resolve) -> Wanted:
    names = [server.name for server in settings.servers]
    entries = [Entry(f"{ini.SERVERS} += {name}", ini.LISTED) for name in names]
    faults = []
    for server in settings.servers:
        password = resolve(server.password).reveal()
        if reason := ini.fault(password):
            faults.append(f"[{server.name}]: {server.password}: {reason}")
        if server.repository:
            entries.append(Entry(f"[{server.name}] repository", server.repository))
        entries.append(Entry(f"[{server.name}] username", server.username))
        entries.append(Entry(f"[{server.name}] password", password, secret=True))
    return Wanted(place, tuple(entries), faults=tuple(faults))


def _docker(settings: DockerConfig, resolve: Resolve) -> Iterator[Entry]:
    for auth in settings.auths:
        value = _basic(auth.username, resolve(auth.password))
        yield Entry(f"auths {auth.registry}", value, secret=True)


def _uv(settings: UvToml, ca_bundle: str | None) -> Iterator[Entry]:
    options = settings.model_dump(exclude={"index"})
    if settings.system_certs is None and ca_bundle:
        options["system_certs"] = True
    for key, value in _options(options):
        yield Entry(key, json.dumps(value))
    for index in settings.index:
        yield Entry(f"index {index.name}", json.dumps(dict(_set(index)), sort_keys=True))


def _set(model: BaseModel) -> Iterator[tuple[str, Any]]:
    """Return what is worth writing: all that is neither left out nor false."""
    return ((key, value) for key, value in _options(model.model_dump()) if value is not False)


def _options(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return (
        (key.replace("_", "-"), value) for key, value in values.items() if value not in (None, [])
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _slash(url: str) -> str:
    # npm asks for packages below the address: without the slash the last part would be cut off.
    return url.rstrip("/") + "/"


def _basic(username: str, password: Secret) -> str:
    return base64.b64encode(f"{username}:{password.reveal()}".encode()).decode()
