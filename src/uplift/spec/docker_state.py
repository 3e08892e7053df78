"""What a host says about its Docker Engine, as the fact's script prints it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

RECORD = "/var/lib/uplift/docker.json"
"""What we once wrote into ``daemon.json``: a hint for taking it out again."""

LOADED = "/var/lib/uplift/docker.loaded"
"""Which configuration and CA bundle the daemon that we last started or reloaded has read."""


_COUNTS = (
    "Containers",
    "ContainersPaused",
    "ContainersRunning",
    "ContainersStopped",
    "Images",
    "NEventsListener",
    "NFd",
    "NGoroutines",
    "SystemTime",
)
"""What ``docker info`` counts: it changes while nobody changes Docker."""


@dataclass(frozen=True)
class ConfigFile:
    """``daemon.json`` as it stands on the host.

    Args:
        content: its bytes; empty when it is no regular file.
        kind: as ``stat -c %F`` says, for example ``regular file`` or ``symbolic link``.
        mode: permission bits in octal, as ``644``.
        owner: ``uid:gid``.
        changed: time of its last change, in seconds.
    """

    content: bytes
    kind: str
    mode: str
    owner: str
    changed: float


@dataclass(frozen=True)
class CaFile:
    """A file, by its hash.

    Args:
        sha256: of its bytes.
        mode: permission bits in octal.
        owner: ``uid:gid``.
        changed: time of its last change, in seconds.
    """

    sha256: str
    mode: str
    owner: str
    changed: float


@dataclass(frozen=True)
class Loaded:
    """What the daemon had read when we last started or reloaded it.

    Args:
        invocation: systemd's id of that run of the daemon.
        config: ``daemon.json`` as it was then.
        bundle: sha256 of the CA bundle at that time.
    """

    invocation: str
    config: bytes
    bundle: str


@dataclass(frozen=True)
class DockerState:
    """Docker on one host; what is missing is None, False or empty.

    Args:
        systemd: systemd runs the host.
        busy: unit of a job of ours that has not ended.
        os: distribution and version, as ``("debian", "13")``.
        packages: versions of installed packages that bring or imitate an Engine.
        engine: path of ``dockerd``.
        client: path of ``docker``.
        unit: properties of ``docker.service``; empty without that unit.
        started: when the daemon was started, in seconds; 0 when it is not running.
        reloaded: when it was last reloaded (or started).
        flags: the running daemon's command line.
        config: ``daemon.json``.
        certs: CA files of registries, by registry.
        bundle: the system's CA bundle.
        info: ``docker info`` of the running daemon.
        swarm_files: the state of a Swarm is kept under ``/var/lib/docker``.
        record: contents of ``RECORD``.
        loaded: contents of ``LOADED``.
    """

    systemd: bool
    busy: str | None = None
    os: tuple[str, str] = ("unknown", "")
    packages: Mapping[str, str] = field(default_factory=dict)
    engine: str | None = None
    client: str | None = None
    unit: Mapping[str, str] = field(default_factory=dict)
    started: float = 0.0
    reloaded: float = 0.0
    flags: tuple[str, ...] = ()
    config: ConfigFile | None = None
    certs: Mapping[str, CaFile] = field(default_factory=dict)
    bundle: CaFile | None = None
    info: Mapping[str, Any] | None = None
    swarm_files: bool = False
    record: Mapping[str, Any] = field(default_factory=dict)
    loaded: Loaded | None = None

    def steady(self) -> dict[str, Any]:
        """Return all that does not change by itself, for fingerprints."""
        info = None
        if self.info is not None:
            info = {key: value for key, value in self.info.items() if key not in _COUNTS}
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**found, "info": info, "busy": None}

    @property
    def active(self) -> bool:
        """Tell whether the daemon runs."""
        return self.unit.get("ActiveState") in ("active", "reloading")

    @property
    def enabled(self) -> bool:
        """Tell whether the daemon starts at boot."""
        return self.unit.get("UnitFileState") in ("enabled", "static", "generated", "alias")

    @property
    def running_containers(self) -> int:
        """Return how many containers run."""
        return int((self.info or {}).get("ContainersRunning", 0))

    @property
    def swarm(self) -> bool:
        """Tell whether the host is part of a Swarm, also while the daemon is stopped."""
        if self.info is None:
            return self.swarm_files
        state = (self.info or {}).get("Swarm", {}).get("LocalNodeState", "inactive")
        return state not in ("inactive", "")

    def seen(self) -> str:
        """Return all of it as text, to tell one state from another."""
        return repr(self)


def parse(lines: Iterable[str]) -> DockerState:
    """Read the lines of the fact's script: a word, a space, its value.

    Raises:
        ValueError: the lines are not the script's.
    """
    found: dict[str, list[str]] = {}
    for line in lines:
        word, _, value = line.strip().partition(" ")
        found.setdefault(word, []).append(value)
    if "end" not in found:
        msg = "the script that reads Docker's state did not reach its end"
        raise ValueError(msg)
    one = {word: values[0] for word, values in found.items()}
    unit = dict(value.partition("=")[::2] for value in found.get("unit", ()))
    return DockerState(
        systemd=one.get("systemd") == "yes",
        busy=one.get("busy") or None,
        os=_pair(one.get("os", "unknown ")),
        packages=dict(_pair(value) for value in found.get("package", ())),
        engine=one.get("engine"),
        client=one.get("client"),
        unit=unit if unit.get("LoadState", "not-found") != "not-found" else {},
        started=float(one.get("started") or 0),
        reloaded=float(one.get("reloaded") or 0),
        flags=tuple(_bytes(one.get("flags")).decode(errors="replace").split("\0")[1:-1]),
        config=_config(one.get("config")),
        certs=dict(_cert(value) for value in found.get("cert", ())),
        bundle=_ca(one["bundle"]) if "bundle" in one else None,
        info=json.loads(_bytes(one["info"])) if one.get("info") else None,
        swarm_files="swarm" in one,
        record=_record(_bytes(one.get("record"))),
        loaded=_loaded(one.get("loaded")),
    )


def _pair(value: str) -> tuple[str, str]:
    first, _, second = value.partition(" ")
    return first, second


def _bytes(value: str | None) -> bytes:
    return base64.b64decode(value or "", validate=True)


def _config(value: str | None) -> ConfigFile | None:
    if value is None:
        return None
    mode, owner, changed, content, kind = value.split(" ", 4)
    data = b"" if content == "-" else _bytes(content)
    return ConfigFile(content=data, kind=kind, mode=mode, owner=owner, changed=float(changed))


def _ca(value: str) -> CaFile:
    sha256, mode, owner, changed = value.split(" ")
    return CaFile(sha256=sha256, mode=mode, owner=owner, changed=float(changed))


def _cert(value: str) -> tuple[str, CaFile]:
    rest, _, registry = value.partition(" /")
    return registry.split("/")[-2], _ca(rest)


def _record(data: bytes) -> Mapping[str, Any]:
    """Return the record; one that cannot be read is as good as none."""
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    if not isinstance(value, dict) or value.get("format") != 1:
        return {}
    keys, certs = value.get("keys"), value.get("certs")
    well = isinstance(keys, list) and all(_is_key(item) for item in keys)
    return value if well and isinstance(certs, dict) else {}


def _is_key(item: Any) -> bool:
    """Tell whether this is a path and its value."""
    path = item[0] if isinstance(item, list) and len(item) == 2 else None
    return isinstance(path, list) and all(isinstance(name, str) for name in path)


def _loaded(value: str | None) -> Loaded | None:
    parts = (value or "").split(" ")
    if len(parts) != 3:
        return None
    try:
        return Loaded(invocation=parts[0], config=_bytes(parts[1]), bundle=parts[2])
    except ValueError:
        return None
