"""Docker Engine and its configuration: the block `docker` of the group data."""

from pyinfra import host

from uplift.operations import docker
from uplift.settings import for_host

settings = for_host(host).docker

if settings is None:
    host.noop("Docker is not managed here: the settings have no block docker")
else:
    docker.installed(name="Docker Engine", settings=settings)
