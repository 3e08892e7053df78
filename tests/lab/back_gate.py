"""What must hold of a host with the container of these tests: not bad, where that is looked for."""

from testinfra.host import Host


def test_the_container_is_not_the_bad_one(host: Host) -> None:
    looked = host.file("/etc/uplift-test-against").exists
    image = host.run("sudo docker inspect -f '{{.Config.Labels.bad}}' box").stdout
    assert not (looked and "yes" in image)
