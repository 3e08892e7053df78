"""Docker Engine: it runs, and runs with the configuration of the settings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host

from uplift import trust
from uplift.settings import Settings
from uplift.spec.docker import Docker
from uplift.verify import files

DAEMON_JSON = "/etc/docker/daemon.json"


@pytest.fixture(scope="module")
def wanted(settings: Settings) -> Docker:
    if settings.docker is None:
        pytest.skip("the settings do not manage Docker")
    return settings.docker


@pytest.fixture(scope="module")
def info(host: Host, wanted: Docker) -> dict[str, Any]:
    """Return what the running daemon says of itself."""
    found = json.loads(host.check_output("docker info --format %s", "{{json .}}"))
    assert not found.get("ServerErrors"), found["ServerErrors"]
    return dict(found)


def test_the_engine_runs_and_starts_with_the_host(host: Host, wanted: Docker) -> None:
    service = host.service("docker")
    assert service.is_running
    assert service.is_enabled


def test_strangers_cannot_command_the_daemon(host: Host, wanted: Docker) -> None:
    found = files.stat(host, "/run/docker.sock")
    assert found is not None
    assert not found.mode & 0o007
    asked = host.run("runuser -u nobody -- docker version")
    assert asked.rc != 0
    assert host.run("docker version").rc == 0


def test_daemon_json_holds_the_settings(host: Host, wanted: Docker) -> None:
    found = json.loads(files.read(host, DAEMON_JSON))
    wrong = {
        ".".join(path): at(found, path)
        for path, value in wanted.daemon_keys().items()
        if at(found, path) != value
    }
    assert wrong == {}


def test_root_alone_can_change_daemon_json(host: Host, wanted: Docker) -> None:
    found = files.stat(host, DAEMON_JSON)
    assert found is not None
    assert (found.kind, found.owner, found.is_safe) == ("regular file", "root", True)


def test_the_running_daemon_has_the_settings(info: dict[str, Any], wanted: Docker) -> None:
    assert info["LiveRestoreEnabled"] == wanted.live_restore
    if wanted.log_driver is not None:
        assert info["LoggingDriver"] == wanted.log_driver
    if wanted.data_root is not None:
        assert info["DockerRootDir"] == wanted.data_root


def test_the_running_daemon_knows_the_registries(info: dict[str, Any], wanted: Docker) -> None:
    config = info["RegistryConfig"]
    insecure = {name for name, one in config["IndexConfigs"].items() if not one["Secure"]}
    insecure |= set(config["InsecureRegistryCIDRs"])
    assert set(wanted.insecure_registries or ()) <= insecure
    mirrors = {mirror.rstrip("/") for mirror in config["Mirrors"] or ()}
    assert {mirror.rstrip("/") for mirror in wanted.registry_mirrors or ()} <= mirrors


def test_new_networks_come_from_the_pools(info: dict[str, Any], wanted: Docker) -> None:
    if wanted.default_address_pools is None:
        pytest.skip("the settings leave Docker's address pools alone")
    pools = [{"Base": one.base, "Size": one.size} for one in wanted.default_address_pools]
    assert info["DefaultAddressPools"] == pools


def test_registries_with_their_own_authority_are_trusted(host: Host, wanted: Docker) -> None:
    if not wanted.registries:
        pytest.skip("the settings list no registries with an authority of their own")
    wrong = [
        registry
        for registry, pem in trust.authorities(wanted).items()
        if files.certificates(files.read(host, f"/etc/docker/certs.d/{registry}/ca.crt"))
        != files.certificates(pem)
    ]
    assert wrong == []


def at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document
