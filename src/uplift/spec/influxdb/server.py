"""The container of a server: a few settings of its own, and the container that they make."""

from __future__ import annotations

from pydantic import Field, field_validator

from uplift.spec.base import Block
from uplift.spec.container import Container, Health, Http, Keep, Port
from uplift.spec.container.models import Image, Name, Size, Variable
from uplift.spec.container.service import Address, Networks, Place, mount, networks, url
from uplift.spec.secret import SecretRef

PORT = 8086
"""Where the server listens in its container."""

FOLDER = "/var/lib/influxdb2"
"""What the image keeps its data in."""

CONFIG = "/etc/influxdb2"
"""What the image reads configuration from."""

SETUP_SUFFIX = "--setup"
"""End of the name of the container that an empty server is set up in."""

# The image may say otherwise, or nothing: what the data are found by is said here.
_OURS = {
    "INFLUXD_BOLT_PATH": f"{FOLDER}/influxd.bolt",
    "INFLUXD_ENGINE_PATH": f"{FOLDER}/engine",
    "INFLUXD_SQLITE_PATH": f"{FOLDER}/influxd.sqlite",
    "INFLUXD_CONFIG_PATH": CONFIG,
    "INFLUXD_HTTP_BIND_ADDRESS": f":{PORT}",
}
_DEFAULTS = {"INFLUXD_REPORTING_DISABLED": "true"}


class Server(Block):
    """The container of an InfluxDB 2.7.

    Args:
        image: tag or digest, as ``influxdb:2.7.12``.
        name: of the container.
        address: of the host, where the port is published; never all of them unless you say so.
        port: of the host.
        data: volume of the data, or a folder of the host.
        config: volume of the configuration, or a folder of the host.
        networks: in place of Docker's own one, with further names of the container there.
        environment: variables that begin with ``INFLUXD_``, for what no other key says.
        memory: as ``1g``.
        cpus: as 1.5.
        stop_timeout: seconds for the server to write what it holds.
        start_period: seconds in which a server that starts may fail its check: it reads its shards.
        stable: seconds for which it must stay healthy.
        free_disk: how much must be free where images are kept, before one is pulled.
        keep: what stays of releases before.
    """

    image: Image
    name: Name = "influxdb"
    address: Address = "127.0.0.1"
    port: int = Field(default=PORT, ge=1, le=65535)
    data: Place = "influxdb"
    config: Place = "influxdb-config"
    networks: Networks = Field(default_factory=dict)
    environment: dict[Variable, str] = Field(default_factory=dict)
    memory: Size | None = None
    cpus: float | None = Field(default=None, ge=0.01, le=4096)
    stop_timeout: int = Field(default=60, ge=1, le=3600)
    start_period: int = Field(default=120, ge=0, le=3600)
    stable: int = Field(default=5, ge=0, le=3600)
    free_disk: Size = "256m"
    keep: Keep = Keep()

    @field_validator("environment")
    @classmethod
    def _servers_own(cls, given: dict[str, str]) -> dict[str, str]:
        for name in given:
            if name.startswith("DOCKER_INFLUXDB_INIT_"):
                msg = f"{name} is not needed: 'setup' sets the server up, whatever the image"
                raise ValueError(msg)
            if name in _OURS or name.startswith("INFLUXD_TLS_"):
                msg = f"{name} is not yours to set: the server's place is what this block says"
                raise ValueError(msg)
            if not name.startswith("INFLUXD_"):
                msg = f"{name}: variables of the server begin with INFLUXD_"
                raise ValueError(msg)
        return given

    @property
    def url(self) -> str:
        """Return the address of the published port as the host sees it."""
        return url(self.address, self.port)

    @property
    def tells_tokens(self) -> bool:
        """Tell whether its log gets each token that it makes: so it was measured of 2.7.12."""
        return self.environment.get("INFLUXD_LOG_LEVEL") == "debug"

    @property
    def setup_name(self) -> str:
        """Return the name of the container that an empty server is set up in."""
        return f"{self.name}{SETUP_SUFFIX}"


def container(server: Server, token: SecretRef) -> Container:
    """Return the container as it shall be.

    Args:
        server: its settings.
        token: of the operator: a server that refuses it is not healthy.
    """
    return Container(
        name=server.name,
        subject="influxdb",
        image=server.image,
        environment={**_DEFAULTS, **server.environment, **_OURS},
        ports=(Port(container=PORT, host=server.port, address=server.address),),
        mounts=(mount(server.data, FOLDER), mount(server.config, CONFIG)),
        networks=networks(server.networks),
        memory=server.memory,
        cpus=server.cpus,
        stop_timeout=server.stop_timeout,
        health=Health(
            http=Http(port=PORT, path="/api/v2/buckets?limit=1", bearer=token),
            start_period=server.start_period,
            stable=server.stable,
        ),
        stateful=True,
        free_disk=server.free_disk,
        keep=server.keep,
    )
