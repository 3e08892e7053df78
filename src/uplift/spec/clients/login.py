"""The logins of Docker on a host, and what its daemon says when it tries them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from uplift.spec.clients.dockerconfig import DockerDocument
from uplift.spec.clients.models import Clients, DockerAuth
from uplift.spec.clients.state import DOCKER, HostState, Place
from uplift.spec.clients.text import Broken, decode
from uplift.spec.clients.wanted import Resolve, Wanted
from uplift.spec.container.state import trouble_of
from uplift.spec.http import Request, Response
from uplift.spec.secret import Secret

SOCKET = "/var/run/docker.sock"
"""Of the daemon: it has each registry's CA, mirrors and ways to log in."""


@dataclass(frozen=True)
class Login:
    """One login, tried once however many users have it.

    Args:
        registry: as in ``config.json``.
        username: there.
        password: its value.
        secret: its reference, for people.
        users: of the host.
    """

    registry: str
    username: str
    password: Secret
    secret: str = field(compare=False)
    users: tuple[str, ...] = field(compare=False)

    def __str__(self) -> str:
        return f"docker login {self.registry} as {self.username}"

    @property
    def request(self) -> Request:
        """Return what ``docker login`` asks the daemon before it writes anything."""
        body = {
            "username": self.username,
            "password": self.password.reveal(),
            "serveraddress": self.registry,
        }
        return Request("POST", "/auth", body=json.dumps(body))


def logins(settings: Clients, resolve: Resolve, host: HostState) -> list[Login]:
    """Return every login that ``auths`` of some user holds by the settings.

    Args:
        settings: the block ``clients``.
        resolve: gives a secret for its reference.
        host: what is there; logins that are left to a helper program are not ours to try.
    """
    found: dict[Login, tuple[str, ...]] = {}
    for one in settings.users:
        auths = one.docker.auths if one.docker else []
        left = _left(one.user, auths, host)
        for auth in auths:
            if f"auths {auth.registry}" not in left:
                it = Login(
                    auth.registry, auth.username, resolve(auth.password), str(auth.password), ()
                )
                found[it] = (*found.get(it, ()), one.user)
    return [
        Login(it.registry, it.username, it.password, it.secret, users)
        for it, users in found.items()
    ]


def _left(user: str, auths: Sequence[DockerAuth], host: HostState) -> Mapping[str, str]:
    keys = [f"auths {auth.registry}" for auth in auths]
    state = host.files.get(Place(user, DOCKER))
    try:
        text = decode(state.content) if state else ""
        return DockerDocument(text).left(dict.fromkeys(keys, ""))
    except Broken:
        # Said already, and nothing was written.
        return dict.fromkeys(keys, "")


def refuse(files: Iterable[Wanted], refused: Mapping[Login, str]) -> list[Wanted]:
    """Return the wanted files; those with a refused login are not to be written.

    Args:
        files: what is wanted.
        refused: logins, each with the daemon's reason.
    """
    return [replace(file, faults=(*file.faults, *_faults(file.place, refused))) for file in files]


def _faults(place: Place, refused: Mapping[Login, str]) -> list[str]:
    return [
        f"left as it is: {login}: {why}; store what the registry has as {login.secret}, or "
        "bring the registry to it (deploys/registry.py)"
        for login, why in refused.items()
        if place.relative == DOCKER and place.user in login.users
    ]


def trouble(response: Response) -> str:
    """Return why a login did not succeed, in the words for registries; empty when it did.

    Args:
        response: of the daemon.
    """
    return "" if response.status == 200 else trouble_of(str(response.status), _message(response))


def _message(response: Response) -> str:
    try:
        said = json.loads(response.body)
    except ValueError:
        return ""
    return str(said.get("message", "")) if isinstance(said, dict) else ""
