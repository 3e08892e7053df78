"""The wanted Docker Engine of a host: the block ``docker`` of the group data.

Field names are those of ``/etc/docker/daemon.json`` with underscores. A field that is ``None``
is not managed: what stands in the host's file stays.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from uplift.spec.base import Block

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])")
_SIZE = re.compile(r"[1-9][0-9]*[kmg]?")
_REGISTRY_HELP = "is host or host:port without scheme or path, for example 'registry.example:5000'"


def _registry(value: str) -> str:
    host, _, port = value.rpartition(":") if re.search(r":[0-9]+$", value) else (value, "", "")
    if not _HOST.fullmatch(host) or (port and not 0 < int(port) < 65536):
        msg = f"a registry {_REGISTRY_HELP}; found {_masked(value)!r}"
        raise ValueError(msg)
    return value


def _registry_or_network(value: str) -> str:
    if "/" not in value or "://" in value:
        return _registry(value)
    try:
        ipaddress.ip_network(value)
    except ValueError:
        msg = f"a registry {_REGISTRY_HELP}, or a network as '10.1.0.0/16'; found {value!r}"
        raise ValueError(msg) from None
    return value


def _masked(url: str) -> str:
    """Return a URL without what may be a password."""
    return re.sub(r"//[^/@]*@", "//…@", url)


def _mirror(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        msg = (
            f"a mirror is a URL as 'https://mirror.example:5001', without query or fragment; "
            f"found {_masked(value)!r}"
        )
        raise ValueError(msg)
    if "@" in url.netloc:
        msg = f"Docker refuses mirrors with credentials; found {_masked(value)!r}"
        raise ValueError(msg)
    return value


def _size(value: str) -> str:
    if not _SIZE.fullmatch(value):
        msg = f"a size is a number and k, m or g, for example '10m'; found {value!r}"
        raise ValueError(msg)
    return value


def _absolute(value: str) -> str:
    path = PurePosixPath(value)
    if not path.is_absolute() or ".." in path.parts or value == "/":
        msg = f"an absolute path below '/', for example '/srv/docker'; found {value!r}"
        raise ValueError(msg)
    return value


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        msg = f"a network as '10.200.0.0/16': {error}"
        raise ValueError(msg) from None


Registry = Annotated[str, AfterValidator(_registry)]
InsecureRegistry = Annotated[str, AfterValidator(_registry_or_network)]
Mirror = Annotated[str, AfterValidator(_mirror)]
Size = Annotated[str, AfterValidator(_size)]


class LogOpts(Block):
    """How the logs of new containers are rotated.

    Args:
        max_size: size of a log file before it is rotated, as ``10m``.
        max_file: how many files of a container are kept.
    """

    max_size: Size = "10m"
    max_file: int = Field(default=3, ge=1, le=1000)


class AddressPool(Block):
    """A range from which Docker takes the networks that name no subnet.

    Args:
        base: the range, as ``10.200.0.0/16``.
        size: length of the prefix of each network, as 24.
    """

    base: Annotated[str, AfterValidator(_network)]
    size: int = Field(ge=1, le=128)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        network = ipaddress.ip_network(self.base)
        if not network.prefixlen <= self.size <= network.max_prefixlen:
            msg = (
                f"size is the prefix length of networks inside {self.base}: "
                f"{network.prefixlen} to {network.max_prefixlen}; found {self.size}"
            )
            raise ValueError(msg)
        return self


class RegistryTrust(Block):
    """Whom the daemon trusts for one registry, read at each connection: no restart.

    What is trusted is installed as ``/etc/docker/certs.d/REGISTRY/ca.crt``.

    Args:
        ca_file: PEM file on the controller, relative to the project's folder.
        own_ca: the CA with which this controller signs certificates of its registries (the block
            ``registry`` without a certificate of yours).
    """

    ca_file: str | None = Field(default=None, min_length=1)
    own_ca: bool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.ca_file is None) == (not self.own_ca):
            msg = (
                "either ca_file (a PEM file on this machine), or own_ca = True for a registry that "
                "the block registry makes without a certificate of yours"
            )
            raise ValueError(msg)
        return self


class Docker(Block):
    """Docker Engine of a host and its ``/etc/docker/daemon.json``.

    Args:
        log_driver: ``json-file`` or ``local``; None leaves driver and options alone.
        log_opts: rotation; holds for containers created afterwards.
        live_restore: containers live on while the daemon restarts; must be False with Swarm.
        insecure_registries: host[:port] or networks reached by plain HTTP or unchecked TLS.
        registry_mirrors: URLs of pull-through mirrors of Docker Hub.
        registries: registries with a certificate authority of their own, by host[:port].
        data_root: where images and volumes are kept. Nothing is moved there.
        default_address_pools: ranges for networks without a subnet.
        daemon_json: any other key of ``daemon.json``, spelled as Docker does.
        restart_running: allow a restart that stops running containers, where ``live_restore``
            is False and a change needs it.
    """

    log_driver: Literal["json-file", "local"] | None = "json-file"
    log_opts: LogOpts = LogOpts()
    live_restore: bool = True
    insecure_registries: tuple[InsecureRegistry, ...] | None = None
    registry_mirrors: tuple[Mirror, ...] | None = None
    registries: dict[Registry, RegistryTrust] = Field(default_factory=dict)
    data_root: Annotated[str, AfterValidator(_absolute)] | None = None
    default_address_pools: tuple[AddressPool, ...] | None = None
    daemon_json: dict[str, Any] = Field(default_factory=dict)
    restart_running: bool = False

    @model_validator(mode="after")
    def _one_place_a_key(self) -> Self:
        for key, value in self.daemon_json.items():
            if key == "hosts":
                msg = (
                    "daemon_json: 'hosts' conflicts with the -H of Debian's docker.service and "
                    "the daemon would not start: use a systemd drop-in"
                )
                raise ValueError(msg)
            if "_" in key:
                msg = f"daemon_json: Docker spells its keys with '-'; found {key!r}"
                raise ValueError(msg)
            if (key,) in {path[:1] for path in self._fields()}:
                field = key.replace("-", "_")
                msg = f"daemon_json: {key!r} is set by docker.{field}: set it there alone"
                raise ValueError(msg)
            _check_json(value, key)
        return self

    def daemon_keys(self) -> dict[tuple[str, ...], Any]:
        """Return the values that ``daemon.json`` must hold, by the path of their key."""
        return self._fields() | {(key,): value for key, value in self.daemon_json.items()}

    def _fields(self) -> dict[tuple[str, ...], Any]:
        keys: dict[tuple[str, ...], Any] = {("live-restore",): self.live_restore}
        if self.log_driver is not None:
            keys["log-driver",] = self.log_driver
            # Docker takes strings only.
            keys["log-opts", "max-size"] = self.log_opts.max_size
            keys["log-opts", "max-file"] = str(self.log_opts.max_file)
        if self.insecure_registries is not None:
            keys["insecure-registries",] = list(self.insecure_registries)
        if self.registry_mirrors is not None:
            keys["registry-mirrors",] = list(self.registry_mirrors)
        if self.data_root is not None:
            keys["data-root",] = self.data_root
        if self.default_address_pools is not None:
            keys["default-address-pools",] = [
                {"base": pool.base, "size": pool.size} for pool in self.default_address_pools
            ]
        return keys


def _check_json(value: Any, key: str) -> None:
    """Refuse what JSON cannot hold before any host is touched."""
    if value is None or isinstance(value, str | bool | int | float):
        return
    if isinstance(value, list | tuple):
        for item in value:
            _check_json(item, key)
        return
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        for item in value.values():
            _check_json(item, key)
        return
    msg = f"daemon_json: {key!r} holds a {type(value).__name__}, which JSON does not know"
    raise ValueError(msg)
