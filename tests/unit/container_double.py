"""Docker as far as `docker inspect` goes: what it says of a container made from settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from uplift.spec.container import Container
from uplift.spec.container.image import Image, Resolved
from uplift.spec.container.shape import environment, log_options, mounts
from uplift.spec.container.state import State
from uplift.spec.container.units import memory_bytes
from uplift.spec.secret import Secret, SecretRef

ID = "c0ffee" * 10 + "abcd"
OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
CONFIG = {
    "Env": ["PATH=/usr/bin", "LANG=C.UTF-8"],
    "Cmd": ["redis-server"],
    "Entrypoint": ["docker-entrypoint.sh"],
    "Labels": {"maintainer": "somebody"},
    "Volumes": {"/data": {}},
    "WorkingDir": "/data",
    "User": "",
}
IMAGE = Image("sha256:" + "1" * 64, frozenset([OLD]), CONFIG)
LIMITS = frozenset(["memory", "cpus", "pids_limit"])


def inspect(it: Container, values: Mapping[SecretRef, Secret] | None = None) -> dict[str, Any]:
    """Return what Docker would say, in its own way of writing."""
    entrypoint = CONFIG["Entrypoint"] if it.entrypoint is None else list(it.entrypoint)
    command = list(it.command or ())
    if it.command is None and it.entrypoint is None:
        command = ["redis-server"]
    env = dict(line.split("=", 1) for line in CONFIG["Env"]) | environment(it, values or {})
    nameless = {
        "Type": "volume",
        "Name": "d" * 64,
        "Source": "/var/lib/docker/volumes/x/_data",
        "Destination": "/data",
        "RW": True,
    }
    places = [_mount(one) for one in mounts(it)]
    if not any(one["Destination"] == "/data" for one in places):
        places.append(nameless)
    return {
        "Id": ID,
        "Name": f"/{it.name}",
        "Image": IMAGE.id,
        "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z"},
        "Mounts": places[::-1],
        "Config": {
            "Hostname": it.hostname or ID[:12],
            "User": it.user or "",
            "Env": [f"{key}={value}" for key, value in sorted(env.items(), reverse=True)],
            "Cmd": command or None,
            "Entrypoint": entrypoint or None,
            "Image": it.image,
            "Labels": {**CONFIG["Labels"], **it.labels, "io.uplift.image": it.image},
            "WorkingDir": it.working_dir or CONFIG["WorkingDir"],
            **({"StopSignal": it.stop_signal} if it.stop_signal else {}),
            "StopTimeout": it.stop_timeout,
        },
        "HostConfig": _host(it),
        "NetworkSettings": {
            "Networks": {one.name: {"Aliases": [*one.aliases, ID[:12]]} for one in it.networks}
            or {"bridge": {"Aliases": None}}
        },
    }


def _mount(one: Any) -> dict[str, Any]:
    kind, key = ("volume", "Name") if one.volume else ("bind", "Source")
    there = {"Source": f"/var/lib/docker/volumes/{one.volume}/_data"} if one.volume else {}
    return {
        "Type": kind,
        **there,
        key: one.volume or one.source,
        "Destination": one.target,
        "RW": not one.read_only,
    }


def _host(it: Container) -> dict[str, Any]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in it.ports:
        place = {"HostIp": port.address, "HostPort": str(port.host or port.container)}
        bindings.setdefault(f"{port.container}/{port.protocol}", []).insert(0, place)
    name, _, count = it.restart.partition(":")
    return {
        "NetworkMode": it.networks[0].name if it.networks else "default",
        "PortBindings": bindings,
        "RestartPolicy": {"Name": name, "MaximumRetryCount": int(count or 0)},
        "AutoRemove": False,
        "LogConfig": {
            "Type": it.logging.driver if it.logging else "json-file",
            "Config": log_options(it),
        },
        "CapAdd": [f"CAP_{name}" for name in reversed(it.cap_add)] or None,
        "CapDrop": list(it.cap_drop) or None,
        "ExtraHosts": [f"{key}:{value}" for key, value in it.extra_hosts.items()],
        "Privileged": False,
        "ReadonlyRootfs": it.read_only,
        "SecurityOpt": ["no-new-privileges:true"] if it.no_new_privileges else None,
        "Tmpfs": {path: ",".join(text.split(",")[::-1]) for path, text in it.tmpfs.items()},
        "Memory": memory_bytes(it.memory) if it.memory else 0,
        "NanoCpus": round(it.cpus * 1e9) if it.cpus else 0,
        "PidsLimit": it.pids_limit,
        "Ulimits": [
            {"Name": name, "Soft": one.soft, "Hard": one.soft if one.hard is None else one.hard}
            for name, one in it.ulimits.items()
        ],
        "Devices": [],
        "Init": it.init or None,
    }


def state(it: Container, *found: dict[str, Any], **more: Any) -> State:
    """Return a host with these containers, whose registry still has the image of before."""
    given = {
        "docker": True,
        "limits": LIMITS,
        "containers": {one["Name"][1:]: json.loads(json.dumps(one)) for one in found},
        "images": {IMAGE.id: IMAGE},
        "resolved": {it.image: Resolved(it.image, "registry", OLD, IMAGE.id)},
    }
    return State(**{**given, **more})
