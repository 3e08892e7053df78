"""Bring a lab up: each step looks at what is there and does only what is missing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docker import DockerClient
from docker.errors import APIError
from docker.models.containers import Container

from uplift.lab import addresses, containers, engine, images, inspect, keys, names, ready
from uplift.lab.addresses import REGISTRY_PORT, SSH_PORT, Addresses
from uplift.lab.images import Image
from uplift.lab.network import ensure_network
from uplift.lab.report import Report
from uplift.lab.state import Host, LabState, Places, Registry, Wanted, locked
from uplift.spec.errors import UpliftError, UsageError

AUTHORIZED_KEYS = "/etc/ssh/authorized_keys.d"
LOGINS = ("root", "deploy")


@dataclass
class Outcome:
    """What ``up`` did.

    Args:
        name: of the lab.
        images: that the hosts and the registry are made of.
        changed: one line for each thing that was made, started or changed.
        left: hosts that are not as asked for and were left alone, with the reason.
        failed: units that a host could not start.
        seconds: that it took.
    """

    name: str
    images: list[Image] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0


def up(
    name: str | None = None,
    *,
    hosts: int | None = None,
    light: bool | None = None,
    debian12: bool | None = None,
    recreate: bool = False,
    yes: bool = False,
    report: Report = lambda _: None,
) -> Outcome:
    """Bring a lab up, or complete one that was interrupted.

    Args:
        name: of the lab; made from the checkout's path when left out.
        hosts: how many; as before, or 3, when left out.
        light: hosts with sshd only; as before when left out.
        debian12: one more host of Debian 12; as before when left out.
        recreate: make hosts anew that differ from what is wanted; their disks are lost.
        yes: Docker and build tools may be installed on this machine.
        report: told what is being done.
    """
    began = time.monotonic()
    folder = names.project_folder()
    chosen = names.checked(name) if name else names.default_name(folder)
    places = Places(folder, chosen)
    client = engine.ensure(report, yes=yes)
    with locked(places, chosen):
        run = _Up(client, places, chosen, report, recreate, yes)
        run.everything({"hosts": hosts, "light": light, "debian12": debian12})
    run.outcome.seconds = time.monotonic() - began
    return run.outcome


class _Up:
    """One run of ``up``, and what its steps share."""

    def __init__(
        self,
        client: DockerClient,
        places: Places,
        name: str,
        report: Report,
        recreate: bool,
        yes: bool,
    ) -> None:
        self.client, self.places, self.report = client, places, report
        self.recreate, self.yes = recreate, yes
        self.name = name
        self.labels = {names.LABEL: name, names.FOLDER: str(places.project)}
        self.outcome = Outcome(name)
        self.tags: dict[str, str] = {}

    def everything(self, asked: Mapping[str, int | bool | None]) -> None:
        state = self._remember(asked)
        self.there = inspect.containers(self.client, self.name)
        kinds = self._kinds(state.wanted)
        for kind in dict.fromkeys((*kinds.values(), names.REGISTRY)):
            self._image(kind)
        at = ensure_network(self.client, self.labels, self.report, self.outcome.changed)
        self._container(containers.registry_plan(self.labels, at))
        public = keys.public_key(self.places.key, f"uplift-lab-{self.name}")
        for host, kind in kinds.items():
            plan = containers.host_plan(self.client, self.labels, host, kind, at)
            self._container(plan, public)
        state = state.model_copy(
            update={"hosts": self._hosts(kinds, at), "registry": _registry(at)}
        )
        self._wait(state)
        if state != self.places.load():
            self.places.save(state)

    def _remember(self, asked: Mapping[str, int | bool | None]) -> LabState:
        """Keep what was asked for before anything is made, so that a later ``up`` goes on."""
        before = self.places.load() or LabState(name=self.name, folder=str(self.places.project))
        update = {key: value for key, value in asked.items() if value is not None}
        wanted = before.wanted.model_copy(update=update)
        if not 1 <= wanted.hosts <= addresses.MOST_HOSTS:
            raise UsageError(f"--hosts is {wanted.hosts}: use 1 to {addresses.MOST_HOSTS}")
        state = before.model_copy(update={"wanted": wanted})
        if state != self.places.load():
            self.places.save(state)
        return state

    def _kinds(self, wanted: Wanted) -> dict[str, str]:
        """Return the hosts of the lab and their images; those that are there keep theirs."""
        kind = names.LIGHT if wanted.light else names.FULL
        kinds = {f"lab-{number}": kind for number in range(1, wanted.hosts + 1)}
        if wanted.debian12:
            kinds[names.BOOKWORM_HOST] = names.BOOKWORM
        for host in sorted(self.there, key=inspect.order):
            if host != names.REGISTRY and host not in kinds:
                self.outcome.left[host] = "is more than was asked for"
        return kinds

    def _image(self, kind: str) -> None:
        self.report(f"image {kind}")
        image = images.ensure(kind, self.report, install=self.yes)
        self.outcome.images.append(image)
        self.tags[kind] = image.tag
        if image.how != "cached":
            self.outcome.changed.append(f"image {kind}: {image.how}")

    def _container(self, plan: containers.Plan, public: str = "") -> None:
        """Have a container running; one that is there and differs is left, or made anew."""
        found = self.there.get(plan.part)
        if found is not None and (why := self._difference(found, plan)):
            if self.recreate or found.status == "created":
                self.report(f"{plan.part}: removing the old one")
                inspect.remove_container(self.client, found)
                found = None
            else:
                self.outcome.left[plan.part] = why
        if found is None:
            self.report(f"{plan.part}: creating")
            found = containers.create(self.client, plan, self.tags[plan.kind])
            self.outcome.changed.append(f"{plan.part}: created")
        if public:
            self._authorize(found, plan.part, public)
        self._start(found, plan.part)
        self.there[plan.part] = found

    def _difference(self, container: Container, plan: containers.Plan) -> str:
        wanted = self.client.images.get(self.tags[plan.kind]).id
        if container.labels.get(names.KIND) != plan.kind:
            return f"is a {container.labels.get(names.KIND)}, not a {plan.kind}"
        if container.attrs["Image"] != wanted:
            return "was made from an older image"
        if container.labels.get(names.SPEC) != plan.labels[names.SPEC]:
            return "was made with other flags"
        return ""

    def _authorize(self, container: Container, host: str, public: str) -> None:
        """Let the lab's key in; also again when the lab's folder was lost and the key is new."""
        if containers.read_file(container, f"{AUTHORIZED_KEYS}/{LOGINS[-1]}") == public:
            return
        containers.put_files(container, AUTHORIZED_KEYS, dict.fromkeys(LOGINS, public))
        if container.status != "created":
            self.outcome.changed.append(f"{host}: the lab's key was put in")

    def _start(self, container: Container, part: str) -> None:
        if container.status == "running":
            return
        self.report(f"{part}: starting")
        new = container.status == "created"
        try:
            container.unpause() if container.status == "paused" else container.start()
        except APIError as error:
            raise UpliftError(f"{part} cannot be started: {error.explanation}") from error
        if not new:
            self.outcome.changed.append(f"{part}: started")

    def _hosts(self, kinds: Mapping[str, str], at: Addresses) -> tuple[Host, ...]:
        """Return all hosts, also those that are more than was asked for."""
        found = []
        for name in sorted({*kinds, *self.outcome.left} - {names.REGISTRY}, key=inspect.order):
            kind = self.there[name].labels[names.KIND]
            inside = (SSH_PORT,) if kind == names.LIGHT else addresses.PORTS
            ports = {port: at.ports[port] for port in inside}
            found.append(
                Host(name=name, kind=kind, address=at.of(name), port=ports[SSH_PORT], ports=ports)
            )
        return tuple(found)

    def _wait(self, state: LabState) -> None:
        lines = []
        running = [host for host in state.hosts if self.there[host.name].status != "exited"]
        for host in running:
            self.report(f"{host.name}: waiting for sshd")
            container = self.there[host.name]
            ready.wait_for_sshd(container, host)
            lines += keys.known_hosts_lines(
                host.address, host.port, ready.host_keys(container, host)
            )
        _write_changed(self.places.known_hosts, "".join(f"{line}\n" for line in lines))
        for host in running:
            self.report(f"{host.name}: waiting for its services")
            if trouble := ready.boot_trouble(host, self.places.key, self.places.known_hosts):
                self.outcome.failed[host.name] = trouble


def _registry(at: Addresses) -> Registry:
    return Registry(address=at.of(names.REGISTRY), port=at.ports[REGISTRY_PORT])


def _write_changed(file: Path, text: str) -> None:
    if not file.exists() or file.read_text() != text:
        keys.write_whole(file, text.encode(), 0o644)
