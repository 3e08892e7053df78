"""Containers that behave like rented servers: how they are made and compared."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
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
DEVICES = ("a *:* rwm",)
MEMORY = {"/run": "", "/tmp": "exec"}  # noqa: S108 - mounts inside the container
# systemd and the Engine of a host get a cgroup tree of their own: version 2, whatever the machine
# has, and rooted in the host's own cgroup. With the machine's tree instead, nested containers
# would be put beside the machine's own, and their cgroups would outlive the lab.
BOOT = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec /sbin/init"
DISKS = {"docker": "/var/lib/docker", "containerd": "/var/lib/containerd"}
REGISTRY_DISK = "/var/lib/registry"


class Plan(NamedTuple):
    """How a container is to be made.

    Args:
        lab: labels that everything of the lab carries.
        part: ``lab-1`` or ``registry``: its name in the lab and its host name.
        kind: name of its image, as ``uplift lab image`` takes it.
        address: loopback address on which its ports are published.
        ports: port inside to port on that address.
        volumes: name of a named volume to where it is mounted.
    """

    lab: Mapping[str, str]
    part: str
    kind: str
    address: str
    ports: Mapping[int, int]
    volumes: Mapping[str, str]

    @property
    def name(self) -> str:
        """Give the name of the container."""
        return names.resource(self.lab[names.LABEL], self.part)

    @property
    def is_server(self) -> bool:
        """Say whether it is a host with systemd and a Docker Engine."""
        return self.kind not in (names.LIGHT, names.REGISTRY)

    @property
    def labels(self) -> dict[str, str]:
        """Give its labels; one is a hash of how it is made, so that a change is seen."""
        how = [self.kind, self.address, self.ports, self.volumes]
        flags = [CAPABILITIES, SECURITY, DEVICES, MEMORY, BOOT] if self.is_server else []
        text = json.dumps([*how, *flags], sort_keys=True)
        return {
            **self.lab,
            names.ROLE: names.REGISTRY if self.part == names.REGISTRY else "host",
            names.HOST: self.part,
            names.KIND: self.kind,
            names.SPEC: hashlib.sha256(text.encode()).hexdigest()[:16],
        }


def host_plan(lab: Mapping[str, str], host: str, kind: str, at: Addresses) -> Plan:
    """Return how a host's container is to be made.

    Args:
        lab: labels that everything of the lab carries.
        host: lab-1.
        kind: its image.
        at: the lab's addresses.
    """
    name = names.resource(lab[names.LABEL], host)
    disks = {} if kind == names.LIGHT else DISKS
    volumes = {f"{name}-{disk}": path for disk, path in disks.items()}
    return Plan(lab, host, kind, at.of(host), {p: at.ports[p] for p in ports_of(kind)}, volumes)


def registry_plan(lab: Mapping[str, str], at: Addresses) -> Plan:
    """Return how the registry's container is to be made."""
    part, ports = names.REGISTRY, {REGISTRY_PORT: at.ports[REGISTRY_PORT]}
    volumes = {names.resource(lab[names.LABEL], part): REGISTRY_DISK}
    return Plan(lab, part, part, at.of(part), ports, volumes)


def create(client: DockerClient, plan: Plan, image: str) -> Container:
    """Create a container and its volumes; it is not started yet.

    Args:
        client: of the Engine.
        plan: what is wanted.
        image: reference of its image.
    """
    api, network = client.api, names.resource(plan.lab[names.LABEL])
    for volume in plan.volumes:
        client.volumes.create(volume, labels={**plan.lab, names.HOST: plan.part})
    made = api.create_container(
        image,
        entrypoint=["/bin/sh", "-c", BOOT] if plan.is_server else None,
        name=plan.name,
        hostname=plan.part,
        labels=plan.labels,
        ports=[(port, "tcp") for port in plan.ports],
        host_config=_settings(client, plan, network),
        networking_config={
            "EndpointsConfig": {network: api.create_endpoint_config(aliases=[plan.part])}
        },
    )
    return client.containers.get(made["Id"])


def _settings(client: DockerClient, plan: Plan, network: str) -> dict[str, Any]:
    """Return Docker's HostConfig."""
    common: dict[str, Any] = {
        "network_mode": network,
        "binds": [f"{volume}:{path}" for volume, path in plan.volumes.items()],
        "port_bindings": {inside: (plan.address, out) for inside, out in plan.ports.items()},
    }
    if not plan.is_server:
        return {**client.api.create_host_config(**common)}
    settings = client.api.create_host_config(
        **common,
        cap_add=list(CAPABILITIES),
        security_opt=list(SECURITY),
        device_cgroup_rules=list(DEVICES),
        tmpfs=MEMORY,
        cgroupns="private",
    )
    # What the command line client makes of `--security-opt systempaths=unconfined`.
    return {**settings, "MaskedPaths": [], "ReadonlyPaths": []}


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
