"""The words of ``docker create`` and ``docker update`` for a container."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator

from uplift.spec.container.image import Resolved
from uplift.spec.container.models import OURS, Container, Port
from uplift.spec.container.shape import log_options, mounts
from uplift.spec.container.units import memory_bytes
from uplift.spec.secret import SecretRef


def create(it: Container, resolved: Resolved, limits: Collection[str]) -> list[str]:
    """Return the options, image and command of ``docker create``; no secret is among them.

    Args:
        it: what is wanted.
        resolved: its image.
        limits: those that the host's kernel can set.
    """
    entrypoint = it.entrypoint or ()
    return [
        *_identity(it, resolved),
        *_process(it),
        *_storage(it),
        *_network(it),
        *_rights(it),
        *_limits(it, limits),
        resolved.wanted or it.image,
        *entrypoint[1:],
        *(it.command or ()),
    ]


def update(it: Container, fields: Collection[str]) -> list[str]:
    """Return the options of ``docker update`` that bring these fields to what is wanted.

    Args:
        it: what is wanted.
        fields: those that differ.
    """
    words: list[str] = []
    if "memory" in fields and it.memory:
        size = memory_bytes(it.memory)
        # As `docker create` does: as much swap again. A smaller limit than before fits only so.
        words += [f"--memory={size}", f"--memory-swap={2 * size}"]
    if "cpus" in fields and it.cpus:
        words.append(f"--cpus={it.cpus:g}")
    if "pids_limit" in fields and it.pids_limit:
        words.append(f"--pids-limit={it.pids_limit}")
    if "restart" in fields:
        words.append(f"--restart={it.restart}")
    return words


def spec_hash(it: Container, resolved: Resolved) -> str:
    """Return a hash of the wanted state: a hint for people, never the proof of anything."""
    text = f"{it.model_dump_json()}{resolved.digest or resolved.local}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _identity(it: Container, resolved: Resolved) -> Iterator[str]:
    own = {
        "managed": "true",
        "subject": it.subject or it.name,
        "container": it.name,
        "image": it.image,
        "spec": spec_hash(it, resolved),
        "release": it.release,
    }
    if exposed := [key for key, value in it.environment.items() if isinstance(value, SecretRef)]:
        # For verify: what stands there for everybody to read was put there on purpose.
        own["exposed"] = " ".join(exposed)
    for key, value in own.items():
        yield f"--label={OURS}{key}={value}"
    for key, value in it.labels.items():
        yield f"--label={key}={value}"
    if it.hostname:
        yield f"--hostname={it.hostname}"
    yield f"--restart={it.restart}"
    yield f"--stop-timeout={it.stop_timeout}"
    if it.stop_signal:
        yield f"--stop-signal={it.stop_signal}"
    if it.logging:
        yield f"--log-driver={it.logging.driver}"
    for key, value in log_options(it).items():
        yield f"--log-opt={key}={value}"


def _process(it: Container) -> Iterator[str]:
    for key, value in it.environment.items():
        if not isinstance(value, SecretRef):
            yield f"--env={key}={value}"
    if it.entrypoint is not None:
        yield f"--entrypoint={it.entrypoint[0] if it.entrypoint else ''}"
    if it.user is not None:
        yield f"--user={it.user}"
    if it.working_dir:
        yield f"--workdir={it.working_dir}"
    if it.init:
        yield "--init"


def _storage(it: Container) -> Iterator[str]:
    for mount in mounts(it):
        kind, source = ("volume", mount.volume) if mount.volume else ("bind", mount.source)
        tail = ",readonly" if mount.read_only else ""
        yield f"--mount=type={kind},source={source},target={mount.target}{tail}"
    for path, options in it.tmpfs.items():
        yield f"--tmpfs={path}:{options}" if options else f"--tmpfs={path}"
    if it.read_only:
        yield "--read-only"


def _network(it: Container) -> Iterator[str]:
    for port in it.ports:
        yield f"--publish={_publish(port)}"
    for network in it.networks[:1]:
        yield f"--network={network.name}"
        for alias in network.aliases:
            yield f"--network-alias={alias}"
    for host, address in it.extra_hosts.items():
        yield f"--add-host={host}:{address}"


def _publish(port: Port) -> str:
    address = f"[{port.address}]" if ":" in port.address else port.address
    return f"{address}:{port.host or port.container}:{port.container}/{port.protocol}"


def _rights(it: Container) -> Iterator[str]:
    for name in it.cap_drop:
        yield f"--cap-drop={name}"
    for name in it.cap_add:
        yield f"--cap-add={name}"
    if it.no_new_privileges:
        yield "--security-opt=no-new-privileges"


def _limits(it: Container, limits: Collection[str]) -> Iterator[str]:
    if it.memory and "memory" in limits:
        yield f"--memory={memory_bytes(it.memory)}"
    if it.cpus and "cpus" in limits:
        yield f"--cpus={it.cpus:g}"
    if it.pids_limit and "pids_limit" in limits:
        yield f"--pids-limit={it.pids_limit}"
    for name, one in it.ulimits.items():
        yield f"--ulimit={name}={one.soft}:{one.soft if one.hard is None else one.hard}"
