"""Bring a lab up: each step looks at what is there and does only what is missing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from docker import DockerClient

from uplift.lab import (
    addresses,
    containers,
    engine,
    images,
    inspect,
    keys,
    machine,
    names,
    ready,
    registry,
)
from uplift.lab.addresses import Addresses
from uplift.lab.images import Image
from uplift.lab.network import check_owner, ensure_network
from uplift.lab.provision import Provisioner
from uplift.lab.report import Report, silent
from uplift.lab.state import Host, LabState, Places, Registry, Wanted, locked
from uplift.spec.errors import UsageError

ANEW = "left alone; `--recreate` makes it anew, its data is lost"
EXTRA = "is more than was asked for: left alone"


@dataclass
class Outcome:
    """What ``up`` did.

    Args:
        name: of the lab.
        images: that the hosts and the registry are made of.
        changed: one line for each thing that was made, started or changed.
        left: hosts that are not as asked for and were left alone, with the reason.
        failed: units that a host could not start.
        advice: what may help against that; empty when nothing is known.
        seconds: that it took.
    """

    name: str
    images: list[Image] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    advice: str = ""
    seconds: float = 0.0


def up(
    name: str | None = None,
    *,
    hosts: int | None = None,
    light: bool | None = None,
    debian12: bool | None = None,
    recreate: bool = False,
    with_images: bool = False,
    yes: bool = False,
    report: Report = silent,
) -> Outcome:
    """Bring a lab up, or complete one that was interrupted.

    Args:
        name: of the lab; made from the checkout's path when left out.
        hosts: how many; as before, or 3, when left out.
        light: hosts with sshd only; as before when left out.
        debian12: one more host of Debian 12; as before when left out.
        recreate: make hosts anew that differ from what is wanted; their data is lost.
        with_images: the images of the main job are had too, and put into the lab's registry.
        yes: Docker and build tools may be installed on this machine.
        report: told what is being done.

    Raises:
        UsageError: bad name or number, or the lab belongs to another folder.
        UpliftError: no Docker, no image, a host that does not come up; it is named.
    """
    began = time.monotonic()
    asked = {"hosts": hosts, "light": light, "debian12": debian12}
    if hosts is not None and not 1 <= hosts <= addresses.MOST_HOSTS:
        raise UsageError(f"--hosts is {hosts}: use 1 to {addresses.MOST_HOSTS}")
    places = Places.of(name)
    client = engine.ensure(report, yes=yes)
    check_owner(client, places)
    with locked(places):
        run = _Up(client, places, report, yes=yes)
        outcome = run.everything(_remember(places, asked), recreate=recreate)
        if with_images:
            run.fill_registry()
    outcome.seconds = time.monotonic() - began
    return outcome


def _remember(places: Places, asked: Mapping[str, int | bool | None]) -> LabState:
    """Keep what was asked for before anything is made, so that a later ``up`` goes on."""
    before = places.load() or LabState(name=places.name, folder=str(places.project))
    update = {key: value for key, value in asked.items() if value is not None}
    state = before.model_copy(update={"wanted": before.wanted.model_copy(update=update)})
    places.save(state)
    return state


class _Up:
    """One run of ``up``, and what its steps share."""

    def __init__(self, client: DockerClient, places: Places, report: Report, *, yes: bool) -> None:
        self.client, self.places, self.report, self.yes = client, places, report, yes
        self.labels = {names.LABEL: places.name, names.FOLDER: str(places.project)}
        self.outcome = Outcome(places.name)
        self.there = inspect.containers(client, places.name)

    def everything(self, state: LabState, *, recreate: bool) -> Outcome:
        """Do all steps; each finds out by itself whether there is anything to do."""
        kinds = self._kinds(state.wanted)
        tags = {
            kind: self._image(kind) for kind in dict.fromkeys((*kinds.values(), names.REGISTRY))
        }
        if {*kinds.values()} != {names.LIGHT}:
            self.outcome.changed += machine.raise_limits(self.report)
        at, new = ensure_network(self.client, self.labels, self.report)
        self.outcome.changed += new
        self._containers(kinds, tags, at, recreate=recreate)
        state = state.model_copy(
            update={"hosts": self._hosts(kinds, at), "registry": Registry.at(at)}
        )
        self._wait(state)
        self.places.save(state)
        return self.outcome

    def fill_registry(self) -> None:
        """Have the images of the main job in the lab's registry."""
        for name in names.SERVED:
            self.report(f"image {name}")
            pushed = registry.push(name, lab=self.places.name, yes=self.yes, report=self.report)
            if pushed.fresh:
                self.outcome.changed.append(f"registry: has {name}")

    def _kinds(self, wanted: Wanted) -> dict[str, str]:
        """Return the hosts that were asked for and their images; name those that were not."""
        kind = names.LIGHT if wanted.light else names.FULL
        kinds = {f"lab-{number}": kind for number in range(1, wanted.hosts + 1)}
        if wanted.debian12:
            kinds[names.BOOKWORM_HOST] = names.BOOKWORM
        for host in sorted(self.there.keys() - kinds.keys() - {names.REGISTRY}, key=inspect.order):
            self.outcome.left[host] = EXTRA
        return kinds

    def _image(self, kind: str) -> str:
        self.report(f"image {kind}")
        image = images.ensure(kind, self.report, install=self.yes)
        self.outcome.images.append(image)
        if image.how != "cached":
            self.outcome.changed.append(f"image {kind}: {image.how} in {image.seconds:.0f} s")
        return image.tag

    def _containers(
        self, kinds: Mapping[str, str], tags: Mapping[str, str], at: Addresses, *, recreate: bool
    ) -> None:
        provisioner = Provisioner(self.client, self.there, self.report, recreate)
        public = keys.public_key(self.places.key, f"uplift-lab-{self.places.name}")
        plans = [containers.host_plan(self.labels, host, kind, at) for host, kind in kinds.items()]
        for plan in (containers.registry_plan(self.labels, at), *plans):
            key = public if plan.part in kinds else ""
            had = provisioner.have(plan, tags[plan.kind], key)
            self.there[plan.part] = had.container
            self.outcome.changed += [f"{plan.part}: {what}" for what in had.done]
            if had.differs:
                self.outcome.left[plan.part] = f"{had.differs}: {ANEW}"

    def _hosts(self, kinds: Mapping[str, str], at: Addresses) -> tuple[Host, ...]:
        """Return all hosts that there are, also those that are more than was asked for."""
        hosts = {*kinds, *self.outcome.left} - {names.REGISTRY}
        return tuple(
            Host.at(at, host, self.there[host].labels[names.KIND])
            for host in sorted(hosts, key=inspect.order)
        )

    def _wait(self, state: LabState) -> None:
        assert state.registry is not None
        ready.wait_for_registry(self.there[names.REGISTRY], state.registry)
        hosts = [host for host in state.hosts if self.there[host.name].status == "running"]
        lines: list[str] = []
        for host in hosts:
            self.report(f"{host.name}: waiting for sshd")
            box = self.there[host.name]
            ready.wait_for_sshd(box, host)
            found = ready.host_keys(box, host)
            lines += keys.known_hosts_lines(host.address, host.port, found)
        keys.write_changed(self.places.known_hosts, "".join(f"{line}\n" for line in lines), 0o644)
        for host in hosts:
            self.report(f"{host.name}: waiting for its services")
            if trouble := ready.boot_trouble(host, self.places.key, self.places.known_hosts):
                self.outcome.failed[host.name] = trouble
                self.outcome.advice = machine.advice().strip()
