"""The wanted state of one container."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from uplift.spec.base import Block
from uplift.spec.container.health import Health
from uplift.spec.container.image import Reference
from uplift.spec.container.units import memory_bytes
from uplift.spec.secret import SecretRef

OURS = "io.uplift."
"""Labels that begin so are this tool's own."""

RUN_SECRETS = "/run/secrets"
SECRETS = "/etc/uplift/secrets"

_PATH = re.compile(r"/[^\x00-\x1f,]*")


def _path(value: str) -> str:
    path = PurePosixPath(value)
    if not _PATH.fullmatch(value) or ".." in path.parts or str(path) != value or value == "/":
        msg = f"an absolute path below '/', without comma, as '/srv/data'; found {value!r}"
        raise ValueError(msg)
    return value


def _size(value: str) -> str:
    memory_bytes(value)
    return value


def _image(value: str) -> str:
    Reference.parse(value)
    return value


def _restart(value: str) -> str:
    if not re.fullmatch(r"no|always|unless-stopped|on-failure(:[1-9][0-9]{0,3})?", value):
        msg = f"'no', 'always', 'unless-stopped' or 'on-failure[:N]'; found {value!r}"
        raise ValueError(msg)
    return value


def _capability(value: str) -> str:
    name = value.upper().removeprefix("CAP_")
    if not re.fullmatch(r"[A-Z_]+", name):
        msg = f"a capability as 'NET_ADMIN' or 'ALL'; found {value!r}"
        raise ValueError(msg)
    return name


Address = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+$")]
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,62}$")]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,252}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
Path = Annotated[str, AfterValidator(_path)]
Image = Annotated[str, AfterValidator(_image)]
Size = Annotated[str, AfterValidator(_size)]
Capability = Annotated[str, AfterValidator(_capability)]


class Port(Block):
    """A port of the container on an address of the host.

    Args:
        container: port inside.
        host: port on the host; the same when it is left out.
        address: of the host; never all of them unless you say so.
        protocol: tcp or udp.
    """

    container: int = Field(ge=1, le=65535)
    host: int | None = Field(default=None, ge=1, le=65535)
    address: Address = "127.0.0.1"
    protocol: Literal["tcp", "udp"] = "tcp"


class Mount(Block):
    """A volume or a folder of the host in the container.

    Args:
        target: path inside.
        volume: name of a volume; made when it is missing.
        source: path on the host; must be there.
        read_only: the container cannot write there.
    """

    target: Path
    volume: Name | None = None
    source: Path | None = None
    read_only: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.volume is None) == (self.source is None):
            msg = "either volume (a name) or source (a path of the host)"
            raise ValueError(msg)
        return self


class Network(Block):
    """A network of the container.

    Args:
        name: made as a bridge when it is missing; ``host`` is the host's own.
        aliases: further names of the container there.
    """

    name: Name
    aliases: tuple[HostName, ...] = ()


class Ulimit(Block):
    """Limits of a resource, as ``nofile``.

    Args:
        soft: what processes get.
        hard: what they may raise it to; the same when it is left out.
    """

    soft: int = Field(ge=-1)
    hard: int | None = Field(default=None, ge=-1)


class Logging(Block):
    """Where the container's output goes.

    Args:
        driver: as ``json-file``, ``local``, ``journald``.
        max_size: size of a file before it is rotated.
        max_file: how many are kept.
    """

    driver: str = "json-file"
    max_size: Size | None = "10m"
    max_file: int | None = Field(default=3, ge=1)


class Keep(Block):
    """What stays of releases before.

    Args:
        images: of how many good releases, the running one included.
        copies: of a stateful container's data, each made before a replacement.
    """

    images: int = Field(default=3, ge=2, le=100)
    copies: int = Field(default=1, ge=0, le=100)


class Options(Block):
    """How a program runs in its container; what is left out is as the image, or else Docker, says.

    Args:
        command: arguments, or the program where the image has no entrypoint.
        entrypoint: replaces the image's, and its command with it.
        environment: variables; a reference to a secret needs ``expose_in_environment``.
        expose_in_environment: secrets may stand in variables, where ``docker inspect`` shows them.
        secrets: files under ``/run/secrets``, by their name.
        secret_owner: numeric id of the user that reads them; else that of ``user``, else root.
        mounts: volumes and folders of the host.
        tmpfs: mount options of memory file systems, by path.
        networks: Docker's default one when there is none.
        hostname: name inside.
        user: name or id, with ``:group``.
        working_dir: where the program starts.
        memory: as ``512m`` or ``2g``.
        cpus: as 1.5.
        pids_limit: how many processes.
        ulimits: by name.
        read_only: the root file system cannot be written.
        cap_add: capabilities beside Docker's default ones.
        cap_drop: capabilities taken away; ``ALL`` is allowed.
        no_new_privileges: programs with set-user-ID gain nothing.
        init: a small init reaps what the program leaves behind.
        extra_hosts: addresses by name, for ``/etc/hosts``.
        labels: beside those of the image.
        logging: None: as the daemon does when the container is made.
        stop_signal: as ``SIGTERM``.
        stop_timeout: seconds until the container is killed.
        free_disk: how much must be free where images are kept, before anything is pulled.
        keep: what stays of releases before.
    """

    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: dict[Variable, str | SecretRef] = Field(default_factory=dict)
    expose_in_environment: bool = False
    secrets: dict[FileName, SecretRef] = Field(default_factory=dict)
    secret_owner: int | None = Field(default=None, ge=0)
    mounts: tuple[Mount, ...] = ()
    tmpfs: dict[Path, str] = Field(default_factory=dict)
    networks: tuple[Network, ...] = ()
    hostname: HostName | None = None
    user: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$")
    working_dir: Path | None = None
    memory: Size | None = None
    cpus: float | None = Field(default=None, gt=0, le=4096)
    pids_limit: int | None = Field(default=None, ge=1)
    ulimits: dict[HostName, Ulimit] = Field(default_factory=dict)
    read_only: bool = False
    cap_add: tuple[Capability, ...] = ()
    cap_drop: tuple[Capability, ...] = ()
    no_new_privileges: bool = False
    init: bool = False
    extra_hosts: dict[HostName, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    logging: Logging | None = None
    stop_signal: str | None = Field(default=None, pattern=r"^SIG[A-Z0-9+]+$")
    stop_timeout: int = Field(default=30, ge=1, le=3600)
    free_disk: Size = "256m"
    keep: Keep = Keep()


class Container(Options):
    """A container as it shall be on a host.

    Args:
        name: of the container.
        image: tag or digest; a tag is resolved to a digest before anything stops.
        subject: what it is part of; the name when it is left out.
        release: written to a label, for people.
        ports: published ports.
        restart: Docker's restart policy.
        health: how it is known that it serves.
        stateful: its writable mounts are copied before a replacement, and given back with the
            container of before.
    """

    name: Name
    image: Image
    subject: Name | None = None
    release: str = Field(default="", pattern=r"^[\x20-\x7e]*$")
    ports: tuple[Port, ...] = ()
    restart: Annotated[str, AfterValidator(_restart)] = "unless-stopped"
    health: Health = Health()
    stateful: bool = False

    @property
    def previous(self) -> str:
        """Return the name that the container of before has until the new one is good."""
        return f"{self.name}--previous"

    @property
    def secret_folder(self) -> str:
        """Return where its secret files are on the host."""
        return f"{SECRETS}/{self.name}"

    @property
    def secret_uid(self) -> int:
        """Return who owns its secret files."""
        if self.secret_owner is not None:
            return self.secret_owner
        word = (self.user or "0").partition(":")[0]
        return int(word) if word.isdecimal() else 0

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for check in (_check_names, _check_secrets, _check_targets, _check_networks):
            if problem := check(self):
                raise ValueError(problem)
        return self


def _check_names(it: Container) -> str | None:
    if it.name.endswith(("--previous", "--next")):
        return "a name that ends with '--previous' or '--next' is kept for replacements"
    for label in it.labels:
        if label.startswith(OURS) or not re.fullmatch(r"[^\s=]+", label):
            return f"labels: {label!r} has a blank or '=', or begins with {OURS!r}"
    if it.cpus is not None and round(it.cpus * 1e9) < 1e7:
        return "cpus: Docker takes 0.01 at least"
    return None


def _check_secrets(it: Container) -> str | None:
    shown = [key for key, value in it.environment.items() if isinstance(value, SecretRef)]
    if shown and not it.expose_in_environment:
        return (
            f"environment: {shown[0]} is a secret, and variables are shown by 'docker inspect': "
            f"use secrets (files under {RUN_SECRETS}), or set expose_in_environment to True"
        )
    user = (it.user or "0").partition(":")[0]
    if it.secrets and it.secret_owner is None and not user.isdecimal():
        return f"secret_owner: the numeric id of user {user!r} in the image is needed for secrets"
    return None


def _check_targets(it: Container) -> str | None:
    targets = [mount.target for mount in it.mounts] + list(it.tmpfs)
    targets += [RUN_SECRETS] if it.secrets else []
    for target in targets:
        if targets.count(target) > 1:
            return f"two mounts at {target!r}"
    places = [(port.address, port.host or port.container, port.protocol) for port in it.ports]
    for place in places:
        if places.count(place) > 1:
            return f"ports: {place[0]}:{place[1]}/{place[2]} is published twice"
    return None


def _check_networks(it: Container) -> str | None:
    names = [network.name for network in it.networks]
    if len(set(names)) < len(names):
        return "networks: each name once"
    if "host" in names and (len(names) > 1 or it.ports):
        return "networks: 'host' stands alone, and without ports"
    if {"host", "bridge"} & {network.name for network in it.networks if network.aliases}:
        return "networks: aliases exist on networks of one's own only"
    return None
