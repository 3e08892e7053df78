"""Containers that behave like rented servers: how they are made and compared."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from docker import DockerClient
from docker.errors import NotFound
from docker.models.containers import Container

from uplift.lab import names
from uplift.lab.addresses import REGISTRY_PORT, Addresses, ports_of

# Everything that systemd and a nested Docker Engine may need. Not --privileged: that fails
# where root itself lacks one of the capabilities. SYS_RESOURCE, SYS_MODULE and SYS_RAWIO are
# such; BPF, PERFMON and CHECKPOINT_RESTORE are unknown to older Engines.
CAPABILITIES = (
    "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "CHOWN", "DAC_OVERRIDE",
    "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE",
    "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE",
    "NET_BROADCAST", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN",
    "SYS_BOOT", "SYS_CHROOT", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_TIME",
    "SYS_TTY_CONFIG", "WAKE_ALARM",
)  # fmt: skip
SECURITY = ("seccomp=unconfined", "apparmor=unconfined")
DISKS = {"docker": "/var/lib/docker", "containerd": "/var/lib/containerd"}
REGISTRY_DISK = "/var/lib/registry"
_UNIFIED = Path("/sys/fs/cgroup/unified")


class Plan(NamedTuple):
    """How a container is to be made.

    Args:
        name: of the container.
        part: ``lab-1`` or ``registry``: its name in the lab and its host name.
        kind: name of its image, as ``uplift lab image`` takes it.
        volumes: name of a named volume to where it is mounted.
        options: Docker's HostConfig and container settings.
        labels: io.uplift.lab…, with the hash of all the rest.
    """

    name: str
    part: str
    kind: str
    volumes: dict[str, str]
    options: dict[str, Any]
    labels: dict[str, str]


def cgroups(client: DockerClient, kind: str) -> dict[str, Any]:
    """Return how the cgroup tree is given to a host's systemd.

    Args:
        client: of the Engine, which knows the machine's cgroup version.
        kind: the host's image; systemd 257 wants version 2 alone, Debian 12's takes both.
    """
    if client.info().get("CgroupVersion") == "2":
        return {"binds": ["/sys/fs/cgroup:/sys/fs/cgroup:rw"], "cgroupns": "host"}
    hybrid = kind == names.FULL and _UNIFIED.is_dir()
    source = _UNIFIED if hybrid else _UNIFIED.parent
    return {"binds": [f"{source}:/sys/fs/cgroup:rw"]}


def host_plan(
    client: DockerClient, lab: Mapping[str, str], host: str, kind: str, at: Addresses
) -> Plan:
    """Return how a host's container is to be made.

    Args:
        client: of the Engine.
        lab: labels that everything of the lab carries.
        host: lab-1.
        kind: its image.
        at: the lab's addresses.
    """
    name = names.resource(lab[names.LABEL], host)
    options = _published(at.of(host), {port: at.ports[port] for port in ports_of(kind)})
    volumes = {}
    if kind != names.LIGHT:
        volumes = {f"{name}-{disk}": path for disk, path in DISKS.items()}
        options |= _server(client, kind)
    return _plan(lab, "host", host, kind, volumes, options)


def registry_plan(lab: Mapping[str, str], at: Addresses) -> Plan:
    """Return how the registry's container is to be made."""
    options = _published(at.of(names.REGISTRY), {REGISTRY_PORT: at.ports[REGISTRY_PORT]})
    volumes = {names.resource(lab[names.LABEL], names.REGISTRY): REGISTRY_DISK}
    return _plan(lab, names.REGISTRY, names.REGISTRY, names.REGISTRY, volumes, options)


def _published(address: str, ports: Mapping[int, int]) -> dict[str, Any]:
    return {"port_bindings": {f"{inside}/tcp": (address, out) for inside, out in ports.items()}}


def _server(client: DockerClient, kind: str) -> dict[str, Any]:
    """Return what a container needs to be a server with systemd and its own Docker Engine."""
    return {
        "cap_add": list(CAPABILITIES),
        "security_opt": list(SECURITY),
        "device_cgroup_rules": ["a *:* rwm"],
        "tmpfs": {"/run": "", "/tmp": "exec"},  # noqa: S108 - a mount inside the container
        **cgroups(client, kind),
    }


def _plan(
    lab: Mapping[str, str],
    role: str,
    part: str,
    kind: str,
    volumes: dict[str, str],
    options: dict[str, Any],
) -> Plan:
    text = json.dumps([part, kind, volumes, options], sort_keys=True)
    labels = {
        **lab,
        names.ROLE: role,
        names.HOST: part,
        names.KIND: kind,
        names.SPEC: hashlib.sha256(text.encode()).hexdigest()[:16],
    }
    return Plan(names.resource(lab[names.LABEL], part), part, kind, volumes, options, labels)


def create(client: DockerClient, plan: Plan, image: str) -> Container:
    """Create a container and its volumes; it is not started yet.

    Args:
        client: of the Engine.
        plan: what is wanted.
        image: reference of its image.
    """
    api, network = client.api, names.resource(plan.labels[names.LABEL])
    whose = {key: plan.labels[key] for key in (names.LABEL, names.FOLDER, names.HOST)}
    for volume in plan.volumes:
        client.volumes.create(volume, labels=whose)
    options = dict(plan.options)
    binds = options.pop("binds", []) + [f"{v}:{path}" for v, path in plan.volumes.items()]
    settings = api.create_host_config(binds=binds, network_mode=network, **options)
    if "security_opt" in options:
        # What the command line client makes of `--security-opt systempaths=unconfined`.
        settings |= {"MaskedPaths": [], "ReadonlyPaths": []}
    endpoint = api.create_endpoint_config(aliases=[plan.part])
    made = api.create_container(
        image,
        name=plan.name,
        hostname=plan.part,
        labels=plan.labels,
        ports=[(int(port.split("/")[0]), "tcp") for port in options["port_bindings"]],
        host_config=settings,
        networking_config={"EndpointsConfig": {network: endpoint}},
    )
    return client.containers.get(made["Id"])


def read_file(container: Container, path: str) -> str | None:
    """Return a file of a container, running or not, through Docker; nothing when missing."""
    try:
        chunks, _ = container.get_archive(path)
    except NotFound:
        return None
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.extractfile(archive.next() or "")
        return member.read().decode() if member else None


def put_files(container: Container, folder: str, files: Mapping[str, str]) -> None:
    """Write files of root, mode 0644, into a folder of a container, running or not."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    container.put_archive(folder, packed.getvalue())
