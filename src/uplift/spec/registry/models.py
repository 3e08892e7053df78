"""The block ``registry``: a registry (distribution) in a container, with users and TLS."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from uplift.spec.base import Block
from uplift.spec.clients.fields import SecretField
from uplift.spec.container import Container, Health, Http, Mount, Port
from uplift.spec.container.models import Image, Name, Size

FOLDER = "/etc/uplift/registry"
"""Where the server's files are, on the host and in the container."""

HTPASSWD, CERTIFICATE, KEY = "htpasswd", "tls.crt", "tls.key"
FILES = (HTPASSWD, CERTIFICATE, KEY)

INSIDE = 5000
"""The server's port in its container."""

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        msg = f"an IP address of the host, for example '127.0.0.1' or '10.0.0.5'; found {value!r}"
        raise ValueError(msg) from None


def _name(value: str) -> str:
    if _HOST.fullmatch(value):
        return value
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        msg = (
            "the host alone as clients name it, in small letters and without port, for example "
            f"'registry.example.com' or '10.0.0.5'; found {value!r}"
        )
        raise ValueError(msg) from None


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        msg = "letters, digits and '._@+-', with a letter or digit first: a ':' ends a user's name"
        raise ValueError(msg)
    return value


class User(Block):
    """Somebody who may pull and push.

    Args:
        name: as in ``docker login``.
        password: its secret, at most 72 bytes: more is nothing to bcrypt.
    """

    name: Annotated[str, AfterValidator(_user)]
    password: SecretField


class Tls(Block):
    """How the server proves who it is.

    With ``certificate`` it is yours; without, the controller signs one with its own CA and renews
    it, and hosts trust it by ``docker.registries`` with ``own_ca``.

    Args:
        names: under which clients reach the server; the first one is what people use.
        certificate: PEM file on the controller, the server's own certificate first.
        key: its private key as a secret.
        key_file: its private key as a PEM file on the controller.
    """

    names: tuple[Annotated[str, AfterValidator(_name)], ...]
    certificate: str | None = Field(default=None, min_length=1)
    key: SecretField | None = None
    key_file: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not self.names:
            msg = "names: at least one, as 'registry.example.com': clients check it"
            raise ValueError(msg)
        keys = sum(key is not None for key in (self.key, self.key_file))
        if self.certificate is not None and keys != 1:
            msg = "certificate needs its private key: either key (a secret) or key_file (a path)"
            raise ValueError(msg)
        if self.certificate is None and keys:
            msg = (
                "a key without its certificate: name certificate too, or leave both out and the "
                "controller's own CA signs one"
            )
            raise ValueError(msg)
        return self


class Registry(Block):
    """A registry on a host.

    Args:
        image: distribution 2 or 3, by tag or digest.
        address: of the host; every address only when you write ``0.0.0.0``.
        port: on that address.
        users: who may pull and push; nobody else may.
        tls: None only on a loopback address, behind a proxy that has TLS.
        volume: where images are kept.
        delete: images may be deleted by their digest.
        memory: the container's limit.
        pids_limit: how many processes and threads it may have.
        log_level: of the server.
    """

    image: Image = "registry:2"
    address: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    port: int = Field(default=5000, ge=1, le=65535)
    users: tuple[User, ...]
    tls: Tls | None = None
    volume: Name = "registry"
    delete: bool = True
    memory: Size | None = "512m"
    pids_limit: int | None = Field(default=512, ge=16)
    log_level: Literal["error", "warn", "info", "debug"] = "info"

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not self.users:
            msg = "users: name at least one: a registry without users is open to everybody"
            raise ValueError(msg)
        counts = Counter(user.name for user in self.users)
        twins = [name for name, count in counts.items() if count > 1]
        if twins:
            msg = f"users: {', '.join(map(repr, twins))} is listed more than once"
            raise ValueError(msg)
        if self.tls is None and not ipaddress.ip_address(self.address).is_loopback:
            msg = (
                f"without tls passwords would be readable on the way to {self.address}: add "
                "tls = {'names': ['registry.example.com']}, or listen on 127.0.0.1 behind a proxy "
                "that has TLS"
            )
            raise ValueError(msg)
        return self

    @property
    def scheme(self) -> Literal["http", "https"]:
        """Return how the server is spoken to."""
        return "https" if self.tls else "http"

    @property
    def names(self) -> tuple[str, ...]:
        """Return the server under each of its names, as images name it: ``HOST:PORT``."""
        hosts = self.tls.names if self.tls else (self.address,)
        return tuple(f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
                     for host in hosts)  # fmt: skip

    def container(self) -> Container:
        """Return the container that serves it.

        Its files are in a folder of the host that is mounted: the server reads changed users by
        itself, so no login that is added restarts it. Images are found by their content and
        written once: a copy of the volume before a replacement would keep nothing safer.
        """
        return Container(
            name="registry",
            image=self.image,
            environment=self._environment(),
            ports=(Port(container=INSIDE, host=self.port, address=self.address),),
            mounts=(
                Mount(volume=self.volume, target="/var/lib/registry"),
                Mount(source=FOLDER, target=FOLDER, read_only=True),
            ),
            memory=self.memory,
            pids_limit=self.pids_limit,
            read_only=True,
            cap_drop=("ALL",),
            no_new_privileges=True,
            # Without a login it answers 401: with any other answer it is open, or broken.
            health=Health(
                http=Http(port=INSIDE, path="/v2/", scheme=self.scheme, status=(401,)),
                start_period=30,
                stable=2,
            ),
        )

    def _environment(self) -> dict[str, str]:
        """Return the server's configuration, in the way that every release of it reads."""
        server = {
            "REGISTRY_AUTH": "htpasswd",
            "REGISTRY_AUTH_HTPASSWD_REALM": "registry",
            "REGISTRY_AUTH_HTPASSWD_PATH": f"{FOLDER}/{HTPASSWD}",
            "REGISTRY_HTTP_ADDR": f":{INSIDE}",
            "REGISTRY_LOG_LEVEL": self.log_level,
            "REGISTRY_STORAGE_DELETE_ENABLED": str(self.delete).lower(),
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/var/lib/registry",
        }
        if self.tls:
            server |= {
                "REGISTRY_HTTP_TLS_CERTIFICATE": f"{FOLDER}/{CERTIFICATE}",
                "REGISTRY_HTTP_TLS_KEY": f"{FOLDER}/{KEY}",
                "REGISTRY_HTTP_TLS_MINIMUMTLS": "tls1.2",
            }
        return server
