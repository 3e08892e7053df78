"""A container's settings in one form, whether they are wanted or read from ``docker inspect``.

What Docker writes differently is made equal here: units, forms of ports, mounts of either kind,
what a container inherits from its image, and order where it has no meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uplift.spec.container.models import OURS, RUN_SECRETS, Container, Mount, Port
from uplift.spec.container.units import memory_bytes
from uplift.spec.secret import Secret, SecretRef

Shape = dict[str, Any]

IN_PLACE = ("memory", "cpus", "pids_limit", "restart")
"""What ``docker update`` changes in a running container."""


def wanted_shape(
    it: Container, image: Mapping[str, Any], values: Mapping[SecretRef, Secret]
) -> Shape:
    """Return what the container shall be.

    Args:
        it: the settings.
        image: Config of the image that the real container is compared by.
        values: of the secrets.
    """
    return {
        "argv": _wanted_argv(it, image),
        "env": _own(environment(it, values), _variables(image.get("Env"))),
        "ports": {_port(port) for port in it.ports},
        "mounts": {_wanted_mount(mount) for mount in mounts(it)},
        "tmpfs": {path: _options(text) for path, text in it.tmpfs.items()},
        "networks": {(one.name, frozenset(one.aliases)) for one in it.networks}
        or {("bridge", frozenset())},
        "hostname": it.hostname,
        "user": it.user if it.user is not None else image.get("User") or "",
        "working_dir": it.working_dir or image.get("WorkingDir") or "",
        "restart": it.restart,
        "memory": memory_bytes(it.memory) if it.memory else None,
        "cpus": it.cpus,
        "pids_limit": it.pids_limit,
        "ulimits": {
            name: (one.soft, one.soft if one.hard is None else one.hard)
            for name, one in it.ulimits.items()
        },
        "read_only": it.read_only,
        "cap_add": set(it.cap_add),
        "cap_drop": set(it.cap_drop),
        "security": {"no-new-privileges"} if it.no_new_privileges else set(),
        "init": it.init,
        "extra_hosts": dict(it.extra_hosts),
        "labels": _own(it.labels, image.get("Labels") or {}),
        "logging": (it.logging.driver, log_options(it)) if it.logging else None,
        "stop_signal": it.stop_signal or image.get("StopSignal") or "",
        "stop_timeout": it.stop_timeout,
        "healthcheck": image.get("Healthcheck"),
        "privileged": False,
        "devices": 0,
    }


def found_shape(found: Mapping[str, Any], image: Mapping[str, Any]) -> Shape:
    """Return what a container is.

    Args:
        found: what ``docker inspect`` says.
        image: Config of its image.
    """
    config, host = found["Config"], found["HostConfig"]
    return {
        "argv": (*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())),
        "env": _own(_variables(config.get("Env")), _variables(image.get("Env"))),
        "ports": _found_ports(host.get("PortBindings") or {}),
        "mounts": _found_mounts(found.get("Mounts") or [], image),
        "tmpfs": {path: _options(text) for path, text in (host.get("Tmpfs") or {}).items()},
        "networks": _found_networks(found),
        "hostname": _found_hostname(found),
        "user": config.get("User") or "",
        "working_dir": config.get("WorkingDir") or "",
        "restart": _found_restart(host.get("RestartPolicy") or {}),
        "memory": host.get("Memory") or None,
        "cpus": _found_cpus(host),
        "pids_limit": _positive(host.get("PidsLimit")),
        "ulimits": {one["Name"]: (one["Soft"], one["Hard"]) for one in host.get("Ulimits") or ()},
        "read_only": bool(host.get("ReadonlyRootfs")),
        "cap_add": _capabilities(host.get("CapAdd")),
        "cap_drop": _capabilities(host.get("CapDrop")),
        "security": {_security(text) for text in host.get("SecurityOpt") or ()},
        "init": bool(host.get("Init")),
        "extra_hosts": dict(
            text.replace("=", ":", 1).split(":", 1) for text in host.get("ExtraHosts") or ()
        ),
        "labels": _own(config.get("Labels") or {}, image.get("Labels") or {}),
        "logging": _found_logging(host.get("LogConfig") or {}),
        "stop_signal": config.get("StopSignal") or "",
        "stop_timeout": 10 if config.get("StopTimeout") is None else config["StopTimeout"],
        "healthcheck": config.get("Healthcheck"),
        "privileged": bool(host.get("Privileged")),
        "devices": len(host.get("Devices") or ()),
    }


def environment(it: Container, values: Mapping[SecretRef, Secret]) -> dict[str, str]:
    """Return the variables with the secrets that may stand there."""
    return {
        key: values[value].reveal() if isinstance(value, SecretRef) else value
        for key, value in it.environment.items()
    }


def mounts(it: Container) -> list[Mount]:
    """Return all mounts, that of the secrets included."""
    own = list(it.mounts)
    if it.secrets:
        own.append(Mount(target=RUN_SECRETS, source=it.secret_folder, read_only=True))
    return own


def log_options(it: Container) -> dict[str, str]:
    """Return the options of the log driver as Docker spells them."""
    if it.logging is None:
        return {}
    given = {"max-size": it.logging.max_size, "max-file": it.logging.max_file}
    return {key: str(value) for key, value in given.items() if value is not None}


def _wanted_argv(it: Container, image: Mapping[str, Any]) -> tuple[str, ...]:
    if it.entrypoint is not None:
        return (*it.entrypoint, *(it.command or ()))
    command = image.get("Cmd") if it.command is None else it.command
    return (*(image.get("Entrypoint") or ()), *(command or ()))


def _variables(lines: list[str] | None) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in lines or ())


def _own(values: Mapping[str, str], inherited: Mapping[str, str]) -> dict[str, str]:
    """Leave out what comes from the image, and this tool's own labels."""
    return {
        key: value
        for key, value in values.items()
        if inherited.get(key) != value and not key.startswith(OURS)
    }


def _port(port: Port) -> tuple[str, int, int, str]:
    return (port.address, port.host or port.container, port.container, port.protocol)


def _found_ports(bindings: Mapping[str, Any]) -> set[tuple[str, int, int, str]]:
    return {
        (one.get("HostIp", ""), int(one.get("HostPort") or 0), int(inside), protocol)
        for word, places in bindings.items()
        for inside, _, protocol in [word.partition("/")]
        for one in places or ()
    }


def _wanted_mount(mount: Mount) -> tuple[str, str, str, bool]:
    kind = "volume" if mount.volume else "bind"
    return (kind, mount.volume or mount.source or "", mount.target, not mount.read_only)


def _found_mounts(
    found: list[dict[str, Any]], image: Mapping[str, Any]
) -> set[tuple[str, str, str, bool]]:
    """Return mounts that somebody asked for: not the nameless volumes that images ask for."""
    implied = {*(image.get("Volumes") or ())}
    return {
        (one["Type"], name, one["Destination"], bool(one.get("RW")))
        for one in found
        for name in [str(one.get("Name" if one["Type"] == "volume" else "Source"))]
        if not (one["Type"] == "volume" and one["Destination"] in implied and _nameless(name))
    }


def _nameless(name: str) -> bool:
    return len(name) == 64 and not set(name) - set("0123456789abcdef")


def _options(text: str) -> frozenset[str]:
    return frozenset(word for word in text.split(",") if word)


def _found_networks(found: Mapping[str, Any]) -> set[tuple[str, frozenset[str]]]:
    mode = found["HostConfig"].get("NetworkMode", "default")
    if mode.startswith(("host", "none", "container:")):
        return {(mode, frozenset())}
    named = found.get("NetworkSettings", {}).get("Networks") or {}
    # Docker adds the short id in some releases.
    return {
        (name, frozenset(set((one or {}).get("Aliases") or ()) - {found["Id"][:12]}))
        for name, one in named.items()
    } or {("bridge" if mode == "default" else mode, frozenset())}


def _found_hostname(found: Mapping[str, Any]) -> str | None:
    given = found["Config"].get("Hostname") or ""
    own = given in ("", found["Id"][:12]) or found["HostConfig"].get("NetworkMode") == "host"
    return None if own else str(given)


def _found_restart(policy: Mapping[str, Any]) -> str:
    name, count = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    return f"{name}:{count}" if name == "on-failure" and count else str(name)


def _found_cpus(host: Mapping[str, Any]) -> float | None:
    if host.get("NanoCpus"):
        return float(host["NanoCpus"] / 1e9)
    if (host.get("CpuQuota") or 0) > 0:
        return float(host["CpuQuota"] / (host.get("CpuPeriod") or 100_000))
    return None


def _positive(value: int | None) -> int | None:
    return value if value is not None and value > 0 else None


def _capabilities(names: list[str] | None) -> set[str]:
    return {name.upper().removeprefix("CAP_") for name in names or ()}


def _security(text: str) -> str:
    return text.replace("no-new-privileges:true", "no-new-privileges")


def _found_logging(config: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    return (config.get("Type", ""), dict(config.get("Config") or {}))
