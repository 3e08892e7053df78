"""The container of a Nexus: a few settings of its own, and the container that they make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from uplift.spec.base import Block
from uplift.spec.container import Container, Health, Http, Keep, Mount, Port, Ulimit
from uplift.spec.container.image import Reference
from uplift.spec.container.models import Image, Name, Size
from uplift.spec.container.service import Address, Networks, Place, mount, networks, url
from uplift.spec.container.units import memory_bytes
from uplift.spec.http import Way
from uplift.spec.nexus import tls as files
from uplift.spec.nexus.upgrade import Number, number
from uplift.spec.registry import Tls

PORT = 8081
"""Where the server listens in its container."""

FOLDER = "/nexus-data"
"""What the image keeps its data in."""

UID = files.GROUP
"""User and group of the server in every image."""

PROPERTIES = "etc/nexus.properties"
"""The server's own settings, in its data."""

JAVA_OPTIONS = "INSTALL4J_ADD_VM_PARAMS"
"""Variable of the image. What is given replaces the image's own value, so all of it is given."""

# https://github.com/sonatype/docker-nexus3, Dockerfile: the image's own, beside the memory.
_JAVA = (f"-Djava.util.prefs.userRoot={FOLDER}/javaprefs", "-Dfile.encoding=UTF-8")

_MIB = 1024**2
_SMALLEST, _LARGEST = 512 * _MIB, 4096 * _MIB

_OWN = {
    "application-port": "the port on the host is 'port'",
    "application-host": "the address of the host is 'address'",
    "nexus-context-path": "that is 'context_path'",
}
_TLS = dict.fromkeys(files.PROPERTIES, "that is 'tls'")


def _context(value: str) -> str:
    if value != "/" and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
        msg = f"a path as '/nexus', without a slash at the end, or '/'; found {value!r}"
        raise ValueError(msg)
    return value


def _version(value: str) -> str:
    if number(value) is None:
        msg = f"a version as '3.30.0'; found {value!r}"
        raise ValueError(msg)
    return value


class Server(Block):
    """The container of a Nexus.

    Args:
        image: with a tag that begins with the version, as ``sonatype/nexus3:3.85.0``; with a
            digest as well, as ``sonatype/nexus3:3.85.0@sha256:…``, it is never looked up.
        name: of the container.
        address: of the host, where the port is published; never all of them unless you say so.
        port: of the host.
        context_path: in front of all paths, as ``/nexus``.
        tls: HTTPS in place of HTTP on the port; None behind a proxy that has TLS.
        data: volume of the data, or a folder of the host.
        data_version: which version wrote the data, where neither server, log nor cache says so.
        heap: memory for Java's objects; by the host's memory when it is left out.
        direct_memory: memory for the database and its files; likewise.
        java_options: further options for Java.
        properties: of ``nexus.properties``, by key; None takes a key away. Others stay.
        networks: in place of Docker's own one, with further names of the container there.
        memory: limit of the container; Java needs more than heap and direct memory together.
        cpus: as 1.5.
        nofile: how many files may be open; None leaves it as the daemon says.
        stop_timeout: seconds for the database to be closed.
        start_limit: seconds until a server that starts must be ready.
        stable: seconds for which it must stay ready.
        free_disk: how much must be free where images are kept, before one is pulled.
        keep: what stays of releases before.
    """

    image: Image = "sonatype/nexus3:3.85.0"
    name: Name = "nexus"
    address: Address = "127.0.0.1"
    port: int = Field(default=28081, ge=1, le=65535)
    context_path: Annotated[str, AfterValidator(_context)] = "/"
    tls: Tls | None = None
    data: Place = "nexus-data"
    data_version: Annotated[str, AfterValidator(_version)] | None = None
    heap: Size | None = None
    direct_memory: Size | None = None
    java_options: tuple[str, ...] = ()
    properties: dict[str, str | None] = Field(default_factory=dict)
    networks: Networks = Field(default_factory=dict)
    memory: Size | None = None
    cpus: float | None = Field(default=None, ge=0.01, le=4096)
    nofile: int | None = Field(default=65536, ge=1024)
    stop_timeout: int = Field(default=120, ge=1, le=3600)
    start_limit: int = Field(default=600, ge=1, le=3600)
    stable: int = Field(default=10, ge=0, le=3600)
    free_disk: Size = "2g"
    keep: Keep = Keep()

    @field_validator("properties")
    @classmethod
    def _not_ours(cls, given: dict[str, str | None]) -> dict[str, str | None]:
        for key, value in given.items():
            if key in _OWN:
                msg = f"{key} is not set here: {_OWN[key]}"
                raise ValueError(msg)
            if key == "nexus.security.randompassword" and value != "true":
                msg = f"{key}: without a random first password everybody knows it"
                raise ValueError(msg)
        return given

    @field_validator("java_options")
    @classmethod
    def _no_memory(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for one in given:
            if not re.fullmatch(r"-[!-~]+", one):
                msg = f"each is one word that begins with '-'; found {one!r}"
                raise ValueError(msg)
            if one.startswith(("-Xmx", "-Xms", "-XX:MaxDirectMemorySize")):
                msg = f"{one}: that is 'heap' or 'direct_memory'"
                raise ValueError(msg)
        return given

    @model_validator(mode="after")
    def _fits(self) -> Self:
        both = [key for key in self.properties if self.tls and key in _TLS]
        if both:
            msg = f"properties: {both[0]} is not set here: {_TLS[both[0]]}"
            raise ValueError(msg)
        given = [memory_bytes(one) for one in (self.heap, self.direct_memory) if one]
        if self.memory and sum(given) >= memory_bytes(self.memory):
            msg = (
                f"memory: {self.memory} is no more than heap and direct_memory together: "
                f"the container would be killed when it is used"
            )
            raise ValueError(msg)
        return self

    @property
    def version(self) -> Number | None:
        """Return what the image's tag says; None for a bare digest or a tag as ``latest``."""
        return number(Reference.parse(self.image).tag)

    @property
    def base(self) -> str:
        """Return what stands in front of all paths: empty for '/'."""
        return "" if self.context_path == "/" else self.context_path

    @property
    def url(self) -> str:
        """Return the address of the published port as the host sees it, with the context path.

        With TLS it has the name that clients use and the certificate is for; :attr:`way` leads
        there, whatever that name stands for.
        """
        if self.tls:
            name = self.tls.names[0]
            return f"https://{f'[{name}]' if ':' in name else name}:{self.port}{self.base}"
        return f"{url(self.address, self.port)}{self.base}"

    @property
    def way(self) -> Way | None:
        """Return how the host comes to the published port; None without TLS."""
        if self.tls is None:
            return None
        own = f"{files.folder(self.name)}/{files.AUTHORITY}"
        connect = url(self.address, self.port).removeprefix("http://")
        return Way(connect, None if self.tls.certificate else own)

    @property
    def place(self) -> str:
        """Return where its data is, as the script of a replacement names it."""
        return f"bind:{self.data}" if self.data.startswith("/") else f"volume:{self.data}"


@dataclass(frozen=True)
class Memory:
    """What Java gets, in bytes."""

    heap: int
    direct: int


def memory(server: Server, host: int, running: Memory | None = None) -> Memory:
    """Return Java's memory: what the settings say, else a quarter of the host's for each.

    Sonatype's own default is a third of 8 GiB for each, on a machine of its own; a host of services
    runs others beside it. A host's memory changes a little with its kernel: what runs with nearly
    the computed value keeps it, and is not restarted for it.

    Args:
        server: its settings.
        host: memory of the host in bytes.
        running: what the running container has.
    """
    share = host // 4 // (64 * _MIB) * 64 * _MIB
    usual = min(max(share, _SMALLEST), _LARGEST)

    def one(given: str | None, has: int | None) -> int:
        if given:
            return memory_bytes(given)
        return has if has is not None and abs(has - usual) <= usual // 8 else usual

    heap = one(server.heap, running.heap if running else None)
    return Memory(heap, one(server.direct_memory, running.direct if running else None))


def memory_of(found: Mapping[str, Any] | None) -> Memory | None:
    """Return the memory that a container's Java has.

    Args:
        found: what ``docker inspect`` says of it.
    """
    lines = (found or {}).get("Config", {}).get("Env") or ()
    text = next((line for line in lines if line.startswith(f"{JAVA_OPTIONS}=")), "")
    heap = re.search(r"-Xmx([0-9]+[kmgKMG]?)\b", text)
    direct = re.search(r"-XX:MaxDirectMemorySize=([0-9]+[kmgKMG]?)\b", text)
    return Memory(memory_bytes(heap[1]), memory_bytes(direct[1])) if heap and direct else None


def container(server: Server, java: Memory) -> Container:
    """Return the container as it shall be.

    Args:
        server: its settings.
        java: its memory.
    """
    options = (
        f"-Xms{java.heap // _MIB}m",
        f"-Xmx{java.heap // _MIB}m",
        f"-XX:MaxDirectMemorySize={java.direct // _MIB}m",
        *_JAVA,
        *server.java_options,
    )
    port = files.PORT if server.tls else PORT
    ready = f"{server.base}/service/rest/v1/status/writable"
    where = {"source": files.folder(server.name), "target": files.INSIDE, "read_only": True}
    secured = (Mount.model_validate(where),) if server.tls else ()
    return Container(
        name=server.name,
        subject="nexus",
        image=server.image,
        environment={JAVA_OPTIONS: " ".join(options)},
        ports=(Port(container=port, host=server.port, address=server.address),),
        mounts=(mount(server.data, FOLDER), *secured),
        networks=networks(server.networks),
        memory=server.memory,
        cpus=server.cpus,
        ulimits={"nofile": Ulimit(soft=server.nofile)} if server.nofile else {},
        stop_timeout=server.stop_timeout,
        health=Health(
            http=Http(port=port, path=ready, scheme="https" if server.tls else "http"),
            interval=2,
            start_period=server.start_limit,
            stable=server.stable,
        ),
        stateful=True,
        free_disk=server.free_disk,
        keep=server.keep,
    )
