"""The wanted state of one application."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator

from uplift.spec.base import Block, near_miss
from uplift.spec.container.health import Health, Http
from uplift.spec.container.image import Reference
from uplift.spec.container.models import (
    Container,
    FileName,
    HostName,
    Mount,
    Options,
    Path,
    Port,
    Variable,
)
from uplift.spec.images.models import Builder
from uplift.spec.secret import SecretRef

SLOTS = ("blue", "green")
BUILDERS = get_args(Builder)

FILES = "/etc/uplift/apps"
"""An application's own files, in a folder named by their contents."""


class Route(Block):
    """Requests that belong to an application.

    Args:
        host: name in the request; any when it is left out.
        path: and all below it.
    """

    host: HostName | None = None
    path: str = Field(default="/", pattern=r"^/[A-Za-z0-9._~/-]*$")


class Drain(Block):
    """How the slot of before ends.

    Args:
        seconds: for which open connections may stay on it.
        path: of a POST that tells it so, before it is stopped.
        token: sent as bearer token with it.
        timeout: seconds for its answer.
    """

    seconds: int = Field(default=30, ge=0, le=86400)
    path: str | None = Field(default=None, pattern=r"^/[\x21-\x7e]*$")
    token: SecretRef | None = None
    timeout: int = Field(default=10, ge=1, le=600)


class Job(Block):
    """A command that is run once for the whole inventory, before a release gets traffic.

    It runs in a container of the new image, with the application's variables, secrets, files and
    networks. What makes it another one: the image, the command, and how the container runs.

    Args:
        name: of the job.
        command: arguments, or the program where the image has no entrypoint.
        entrypoint: replaces the image's.
        environment: variables beside the application's.
        timeout: seconds after which it has failed.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: dict[Variable, str | SecretRef] = Field(default_factory=dict)
    timeout: int = Field(default=600, ge=1, le=86400)


class SchemaCheck(Block):
    """How it is known that a release before understands the database's schema.

    Args:
        command: run in a container of what serves now, with its variables, secrets and
            networks, and ``UPLIFT_TO_TAG``, ``UPLIFT_TO_DIGEST`` and ``UPLIFT_TO_RELEASE``. Exit
            code 0: it can be gone back to; any other: it cannot, and what it printed is shown.
        timeout: seconds for it.
    """

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    timeout: int = Field(default=60, ge=1, le=3600)


class File(Block):
    """A file that belongs to a release; no secret.

    Args:
        content: its text.
        source: file on the controller that has it.
    """

    content: str | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.content is None) == (self.source is None):
            msg = "either content (text) or source (a file on the controller)"
            raise ValueError(msg)
        return self


def _image(value: str) -> str:
    Reference.parse(value)
    return value


def _of_builders(patterns: dict[str, str]) -> dict[str, str]:
    for builder, pattern in patterns.items():
        if builder not in BUILDERS:
            guess = near_miss(builder, BUILDERS)
            hint = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(BUILDERS)}"
            msg = f"{builder!r} builds no images: {hint}"
            raise ValueError(msg)
        if not pattern:
            msg = f"{builder}: a pattern of tags, as '*-{builder}', is not empty"
            raise ValueError(msg)
    return patterns


class App(Options):
    """An application as it shall be on a host.

    Args:
        name: of the application; its containers are ``NAME-blue`` and ``NAME-green``.
        image: tag or digest; a tag is resolved to a digest before anything changes.
        proxy: ``haproxy`` switches between two slots; ``none`` stops the one container, and then
            starts the next (a worker, or a port of its own).
        port: that it listens on in its container.
        slot_ports: of the host's 127.0.0.1, for blue and for green.
        routes: requests that HAProxy gives it; none: it cannot be reached through HAProxy.
        maintenance: HAProxy answers its requests with the maintenance page, whatever serves; no
            part of a release.
        ports: published ports, without HAProxy.
        ready: how it is known that it may serve; ``GET /readyz`` on its port when left out.
        hold: seconds for which the new one must stay healthy after the switch, while the one of
            before could take over at once.
        drain: how the slot of before ends.
        files: of its own, by their name.
        files_at: folder in the container where they are.
        jobs: commands that are run once for the whole inventory before a release gets traffic.
        jobs_on: host of the inventory that runs them; the first one that has the application when
            it is left out.
        schema_check: asked on every host before a rollback touches the first.
        builder_tags: pattern of the tags of images without a label, by what built them; left out:
            ``*-poetry`` and so on.
        version_path: whose answer holds the version that the image's tag begins with.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,40}$")]
    image: Annotated[str, AfterValidator(_image)]
    proxy: Literal["haproxy", "none"] = "haproxy"
    port: int | None = Field(default=None, ge=1, le=65535)
    slot_ports: tuple[int, int] = (0, 0)
    routes: tuple[Route, ...] = ()
    maintenance: bool = False
    ports: tuple[Port, ...] = ()
    ready: Health = Health()
    hold: int = Field(default=10, ge=0, le=3600)
    drain: Drain = Drain()
    files: dict[FileName, File] = Field(default_factory=dict)
    files_at: Path = "/etc/app"
    jobs: tuple[Job, ...] = ()
    jobs_on: str | None = None
    schema_check: SchemaCheck | None = None
    builder_tags: Annotated[dict[str, str], AfterValidator(_of_builders)] = Field(
        default_factory=dict
    )
    version_path: str | None = Field(default=None, pattern=r"^/[\x21-\x7e]*$")

    @model_validator(mode="before")
    @classmethod
    def _ready_by_default(cls, value: object) -> object:
        if isinstance(value, dict) and value.get("port") and "ready" not in value:
            return {**value, "ready": {"http": {"port": value["port"], "path": "/readyz"}}}
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if problem := self._trouble():
            raise ValueError(problem)
        try:
            self.container(SLOTS[0])
            for job in self.jobs:
                self.job(job)
        except ValidationError as error:
            # What a container refuses, an application refuses with the same words.
            raise ValueError(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from None
        return self

    def _trouble(self) -> str:
        names = [job.name for job in self.jobs]
        if len(set(names)) < len(names):
            return "jobs: each name once"
        if self.proxy == "none":
            proxied: dict[str, object] = {
                "port": self.port,
                "slot_ports": any(self.slot_ports),
                "routes": self.routes,
                "maintenance": self.maintenance,
            }
            given = [name for name, value in proxied.items() if value]
            return f"{given[0]}: only with proxy = 'haproxy'" if given else ""
        if self.ports:
            return "ports: only with proxy = 'none'; HAProxy reaches slot_ports"
        if self.port is None:
            return "port: that the application listens on in its container is needed"
        low, high = self.slot_ports
        if not (1 <= low <= 65535 and 1 <= high <= 65535) or low == high:
            return "slot_ports: two different ports of the host, as [18001, 18002]"
        if any(network.name == "host" for network in self.networks):
            return "networks: two slots cannot share the host's own"
        return ""

    def at(self, word: str) -> Self:
        """Return the application with another tag or digest of its image.

        Args:
            word: ``2.0.0-uv``, or ``sha256:…``.

        Raises:
            ValueError: it is neither.
        """
        name = Reference.parse(self.image).name
        image = _image(f"{name}@{word}" if word.startswith("sha256:") else f"{name}:{word}")
        return self.model_copy(update={"image": image})

    def name_in(self, slot: str) -> str:
        """Return the name of a slot's container.

        Args:
            slot: blue or green; without a proxy there is one for both.
        """
        return self.name if self.proxy == "none" else f"{self.name}-{slot}"

    def slot_port(self, slot: str) -> int:
        """Return the port of the host on which a slot is reached.

        Args:
            slot: blue or green.
        """
        return self.slot_ports[SLOTS.index(slot)]

    @property
    def open_check(self) -> Http | None:
        """Return the request that tells everybody who reaches a slot whether it is ready.

        One to another port of the container, or with a token, is for the host alone.
        """
        http = self.ready.http
        if http is None or (http.port, http.scheme, http.bearer) != (self.port, "http", None):
            return None
        return http

    @property
    def folder(self) -> str:
        """Return where its files are on the host: another folder for other contents."""
        return f"{FILES}/{self.name}/{self.fingerprint}"

    @property
    def fingerprint(self) -> str:
        """Return what tells one set of its files from another."""
        digest = hashlib.sha256()
        for name, file in sorted(self.files.items()):
            for part in (name.encode(), (file.content or "").encode()):
                digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()[:16]

    @property
    def hashes(self) -> dict[str, str]:
        """Return the sha256 of each of its files, by name."""
        return {
            name: hashlib.sha256((file.content or "").encode()).hexdigest()
            for name, file in self.files.items()
        }

    def container(self, slot: str, release: str = "") -> Container:
        """Return the container of a slot.

        Args:
            slot: blue or green.
            release: for its label.
        """
        ports = self.ports
        if self.port is not None:
            ports = (Port(container=self.port, host=self.slot_port(slot)),)
        return Container(
            **self._options(),
            name=self.name_in(slot),
            image=self.image,
            subject=self.name,
            release=release,
            ports=ports,
            health=self.ready,
        )

    def job(self, job: Job) -> Container:
        """Return the container of a job.

        Args:
            job: one of the application's.
        """
        given = {**self._options(), "command": job.command}
        if job.entrypoint is not None:
            given["entrypoint"] = job.entrypoint
        given["environment"] = {**self.environment, **job.environment}
        return Container(
            **given,
            name=f"{self.name}-job-{job.name}",
            image=self.image,
            subject=self.name,
            restart="no",
        )

    def _options(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in Options.model_fields}
        if self.files:
            own = Mount(source=self.folder, target=self.files_at, read_only=True)
            given["mounts"] = (*self.mounts, own)
        return given
