"""What must hold of a service's container: its environment has nothing that a test is against."""

import pytest
from testinfra.host import Host

NAMES = ("uplift-test-nexus", "uplift-test-influxdb")


@pytest.mark.parametrize("name", NAMES)
def test_its_environment_has_nothing_that_this_is_against(host: Host, name: str) -> None:
    against = host.run("sudo cat /etc/uplift-test-against").stdout.strip()
    found = host.run("sudo docker inspect -f '{{json .Config.Env}}' %s", name).stdout
    assert not against or against not in found
