"""What has to be done on a host so that its Docker Engine is as wanted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from uplift.spec.docker import Docker
from uplift.spec.docker_daemon import DAEMON_JSON, Refused, Step, decide
from uplift.spec.docker_state import ConfigFile, DockerState
from uplift.spec.jsonmerge import JsonError, Path, load, remove_keys, set_keys

PACKAGES = {
    ("debian", "12"): ("docker.io",),
    ("debian", "13"): ("docker.io", "docker-cli", "docker-buildx"),
}
"""The distribution's Engine with its client; Debian 12 has no buildx."""

# A key of the file and its flag must not both be given: the daemon would not start.
_FLAGS = {
    "-H": "hosts",
    "--host": "hosts",
    "-D": "debug",
    "-g": "data-root",
    "--graph": "data-root",
    "--insecure-registry": "insecure-registries",
    "--registry-mirror": "registry-mirrors",
    "--log-opt": "log-opts",
    "--default-address-pool": "default-address-pools",
    "--label": "labels",
    "--storage-opt": "storage-opts",
    "--add-runtime": "runtimes",
    "--authorization-plugin": "authorization-plugins",
}


@dataclass(frozen=True)
class Plan:
    """The steps that are needed, in this order; nothing of it set means nothing to do.

    Args:
        install: packages of the distribution.
        certs: CA files to write, by registry.
        drop_certs: registries whose CA file, once written by us, goes.
        config: new bytes of ``daemon.json``.
        fallback: bytes of ``daemon.json`` if the daemon does not start again with the new ones;
            None for those of before.
        mode: mode and owner of ``daemon.json`` are put right.
        enable: the daemon is made to start at boot.
        daemon: how the daemon comes to run with its configuration.
        why: what is changed and for what reason, for people.
        restarts: what stops and starts again.
        record: what we have written, for the host's record; None leaves the record.
    """

    install: tuple[str, ...] = ()
    certs: Mapping[str, str] = field(default_factory=dict)
    drop_certs: tuple[str, ...] = ()
    config: bytes | None = None
    fallback: bytes | None = None
    mode: bool = False
    enable: bool = False
    daemon: Step = "leave"
    why: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()
    record: Mapping[str, Any] | None = None

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to do."""
        return not self.why


def plan(settings: Docker, authorities: Mapping[str, str], state: DockerState) -> Plan:
    """Compare what is wanted with what is there.

    Args:
        settings: the block ``docker``.
        authorities: PEM text of each registry's CA.
        state: what the host says.

    Raises:
        Refused: the host cannot be brought there without harm.
    """
    _check_host(state)
    install = _packages(state)
    text, new, keys = _merge(settings, state)
    _check_flags(state, load(new))
    _check_swarm(settings, state)
    certs, drop, owned = _certs(authorities, state)
    why = [f"install {' '.join(install)}"] if install else []
    why += [f"CA of {registry}" for registry in (*certs, *drop)]
    if state.engine and not state.enabled:
        why.append("start at boot")
    mode = state.config is not None and not _has_right_mode(state.config)
    if mode:
        why.append(f"mode and owner of {DAEMON_JSON}")
    if new != text:
        why.append(f"{DAEMON_JSON}: {', '.join(_changed(load(text), load(new)))}")
    daemon, reasons = decide(settings, state, load(new), changed=new != text)
    return Plan(
        install=install,
        certs=certs,
        drop_certs=drop,
        config=new.encode() if new != text else None,
        fallback=_fallback(settings, text) if state.engine and daemon == "restart" else None,
        mode=mode,
        enable=not state.enabled,
        daemon=daemon,
        why=(*why, *reasons),
        restarts=_restarts(settings, state) if daemon == "restart" else (),
        record=_record(state, keys, owned) if why else None,
    )


def _restarts(settings: Docker, state: DockerState) -> tuple[str, ...]:
    """Name what stops and starts again with the daemon; before the first start nothing runs."""
    count = 0 if settings.live_restore else state.running_containers
    containers = (f"{count} running container{'s'[: count > 1]}",) if count else ()
    return ("Docker Engine", *containers) if state.engine else ()


def _has_right_mode(file: ConfigFile) -> bool:
    """Tell whether nobody but root may change a file; whether others may read it is its owner's."""
    return file.owner == "0:0" and not int(file.mode, 8) & ~0o644


def _check_host(state: DockerState) -> None:
    if not state.systemd:
        msg = "this host does not run systemd, by which Docker is started and supervised here"
        raise Refused(msg)
    if state.busy:
        msg = f"a change of Docker is still running as {state.busy}: run again when it has ended"
        raise Refused(msg)
    if state.engine:
        _check_engine(state)
    elif "podman-docker" in state.packages:
        msg = "podman-docker stands in for Docker on this host: remove it, or do without uplift's"
        raise Refused(msg)
    elif state.os not in PACKAGES:
        known = " and ".join(f"{name.capitalize()} {version}" for name, version in PACKAGES)
        msg = (
            f"Docker is installed here on {known} only, this is {' '.join(state.os)}: "
            f"install Docker Engine yourself, it will be adopted"
        )
        raise Refused(msg)


def _check_engine(state: DockerState) -> None:
    unit = state.unit
    if not unit:
        msg = (
            f"{state.engine} has no docker.service: an Engine is adopted only when systemd "
            f"supervises it under that name (not from a snap, not rootless)"
        )
        raise Refused(msg)
    if unit.get("UnitFileState") == "masked":
        msg = "docker.service is masked, somebody wants it off: systemctl unmask docker"
        raise Refused(msg)
    if state.active and state.info is None:
        msg = (
            "docker.service is active, but does not answer on /var/run/docker.sock within 20 s: "
            "see journalctl -u docker"
        )
        raise Refused(msg)


def _packages(state: DockerState) -> tuple[str, ...]:
    wanted = PACKAGES.get(state.os, ())
    if not state.engine:
        return wanted
    # Debian's own Engine without its client, as installed without recommendations.
    if state.client is None and "docker.io" in state.packages:
        return tuple(name for name in wanted if name not in state.packages)
    if state.client is None:
        msg = f"{state.engine} is there without the docker command: install its client"
        raise Refused(msg)
    return ()


def _merge(settings: Docker, state: DockerState) -> tuple[str, str, dict[Path, Any]]:
    """Return the file's text, its new text, and which keys we write or have written."""
    text = _text(state)
    wanted = settings.daemon_keys()
    try:
        present = load(text)
        before = _recorded(state)
        gone = [
            path
            for path, value in before.items()
            if path not in wanted and _at(present, path) == value
        ]
        merged = set_keys(remove_keys(text, gone, prune=True), wanted)
    except JsonError as error:
        msg = f"{DAEMON_JSON}, {error}: mend it by hand, it was left as it is"
        raise Refused(msg) from None
    # What was right before we came is not ours to take out later.
    ours = {
        path: value
        for path, value in wanted.items()
        if path in before or _at(present, path) != value
    }
    return text, merged, ours


def _text(state: DockerState) -> str:
    if state.config is None:
        return ""
    if not state.config.kind.startswith("regular"):
        msg = f"{DAEMON_JSON} is a {state.config.kind}: put a file there, or remove it"
        raise Refused(msg)
    try:
        return state.config.content.decode()
    except UnicodeDecodeError as error:
        line = state.config.content.count(b"\n", 0, error.start) + 1
        msg = f"{DAEMON_JSON}, line {line}: not UTF-8; mend it by hand, it was left as it is"
        raise Refused(msg) from None


def _recorded(state: DockerState) -> dict[Path, Any]:
    keys = state.record.get("keys", [])
    return {tuple(path): value for path, value in keys}


def _fallback(settings: Docker, text: str) -> bytes | None:
    """Return the file of before with live-restore: a start without it stops containers."""
    return set_keys(text, {("live-restore",): True}).encode() if settings.live_restore else None


def _at(value: Any, path: Path) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _check_flags(state: DockerState, config: Mapping[str, Any]) -> None:
    """Refuse keys that also stand on the daemon's command line: it would not start again."""
    for flag in state.flags:
        name, _, value = flag.partition("=")
        if name == "--config-file" and value not in ("", DAEMON_JSON):
            msg = f"the daemon reads {value} instead of {DAEMON_JSON}: remove its --config-file"
            raise Refused(msg)
        key = _FLAGS.get(name, name.removeprefix("--"))
        if name.startswith("-") and key in config:
            msg = (
                f"the daemon gets {name} on its command line and {key!r} in {DAEMON_JSON}: it "
                f"would not start again; remove the flag (systemctl cat docker)"
            )
            raise Refused(msg)


def _check_swarm(settings: Docker, state: DockerState) -> None:
    if settings.live_restore and state.swarm:
        msg = (
            "this host is part of a Swarm, and Docker does not start with live-restore there: "
            "set docker.live_restore to False for it"
        )
        raise Refused(msg)


def _certs(
    authorities: Mapping[str, str], state: DockerState
) -> tuple[dict[str, str], tuple[str, ...], dict[str, str]]:
    """Return CA files to write and to drop, and the hashes of those that are ours."""
    hashes = {name: hashlib.sha256(pem.encode()).hexdigest() for name, pem in authorities.items()}
    before = state.record.get("certs", {})
    write = {}
    for registry, pem in authorities.items():
        found = state.certs.get(registry)
        if not found or (found.sha256, found.mode, found.owner) != (
            hashes[registry],
            "644",
            "0:0",
        ):
            write[registry] = pem
    drop = tuple(
        registry
        for registry, sha256 in before.items()
        if registry not in authorities
        and registry in state.certs
        and state.certs[registry].sha256 == sha256
    )
    owned = {name: hashes[name] for name in authorities if name in write or name in before}
    return write, drop, owned


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


def _record(
    state: DockerState, keys: Mapping[Path, Any], certs: Mapping[str, str]
) -> dict[str, Any] | None:
    record = {
        "format": 1,
        "keys": json.loads(json.dumps([[path, value] for path, value in keys.items()])),
        "certs": dict(certs),
    }
    return None if record == state.record else record
