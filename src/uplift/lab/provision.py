"""Have a container of the lab running: made, made anew, left as it is, or started again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from docker import DockerClient
from docker.errors import APIError
from docker.models.containers import Container

from uplift.lab import containers, inspect, names
from uplift.lab.report import Report
from uplift.spec.errors import UpliftError

AUTHORIZED_KEYS = "/etc/ssh/authorized_keys.d"
LOGINS = ("root", "deploy")
# What an interrupted run, or a daemon that was killed while it removed something, leaves behind.
_BROKEN = ("dead", "removing")


class Had(NamedTuple):
    """A container that runs now.

    Args:
        container: as Docker shows it.
        done: what was done for it: ``created``, ``started``, …; empty when nothing was.
        differs: how it is not as wanted; it was left alone.
    """

    container: Container
    done: tuple[str, ...] = ()
    differs: str = ""


@dataclass
class Provisioner:
    """Bring containers to what is planned.

    Args:
        client: of the Engine.
        there: the lab's containers that are there already, by name in the lab.
        report: told what is being done.
        recreate: make those anew that differ; their data is lost.
    """

    client: DockerClient
    there: dict[str, Container]
    report: Report
    recreate: bool = False

    def have(self, plan: containers.Plan, image: str, public_key: str = "") -> Had:
        """Have one container running.

        Args:
            plan: what is wanted.
            image: reference of its image.
            public_key: line of ``authorized_keys`` that may log in; none for a service.
        """
        found, differs, done = self._usable(plan, image)
        if found is None:
            self.report(f"{plan.part}: creating")
            found = containers.create(self.client, plan, image)
            done.append("created")
        if public_key and self._authorize(found, public_key) and not done:
            done.append("the lab's key put in")
        if self._start(found, plan.part) and not done:
            done.append("started")
        return Had(found, tuple(done), differs)

    def _usable(self, plan: containers.Plan, image: str) -> tuple[Container | None, str, list[str]]:
        """Return the container that is there, when it can stay; else remove it."""
        found = self.there.get(plan.part)
        if found is None:
            return None, "", []
        differs = self._difference(found, plan, image)
        # One that never ran holds nothing that could be lost.
        new = found.status == "created"
        if found.status not in _BROKEN and not (differs and (self.recreate or new)):
            return found, differs, []
        self.report(f"{plan.part}: removing the old one")
        inspect.remove_container(self.client, found)
        return None, "", [] if new else ["removed"]

    def _difference(self, container: Container, plan: containers.Plan, image: str) -> str:
        kind = container.labels.get(names.KIND)
        if kind != plan.kind:
            return f"is of image {kind}, not {plan.kind}"
        if container.attrs["Image"] != self.client.images.get(image).id:
            return "was made from another version of its image"
        if container.labels.get(names.SPEC) != plan.labels[names.SPEC]:
            return "was made with other flags"
        return ""

    def _authorize(self, container: Container, public_key: str) -> bool:
        """Let the lab's key in; also again when the lab's folder was lost and the key is new."""
        file = f"{AUTHORIZED_KEYS}/{LOGINS[-1]}"
        if containers.read_file(container, file) == public_key:
            return False
        containers.put_files(container, AUTHORIZED_KEYS, dict.fromkeys(LOGINS, public_key))
        return True

    def _start(self, container: Container, part: str) -> bool:
        if container.status == "running":
            return False
        self.report(f"{part}: starting")
        try:
            container.unpause() if container.status == "paused" else container.start()
        except APIError as error:
            raise UpliftError(f"{part} cannot be started: {error.explanation}") from error
        container.reload()
        return True
