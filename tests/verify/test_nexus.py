"""Nexus: its container, its data and its own settings are as they shall be; it takes writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from secrets import token_hex

import pytest
from testinfra.host import Host

from uplift.facts.nexus_server import NexusServer
from uplift.secrets import Secret, SecretRef
from uplift.settings import Settings
from uplift.spec.container import Container
from uplift.spec.http import Request, Response, parse, render
from uplift.spec.nexus.data import Data, properties_file
from uplift.spec.nexus.data import parse as parse_data
from uplift.spec.nexus.server import UID, Server, container, memory
from uplift.verify import nexus

DAYS = 14
"""A certificate that ends sooner fails: time to run the deploy, or to get a new one."""


@pytest.fixture(scope="module")
def wanted(settings: Settings) -> Server:
    if settings.nexus is None or settings.nexus.container is None:
        pytest.skip("the settings do not manage the container of a Nexus")
    return settings.nexus.container


@pytest.fixture(scope="module")
def data(host: Host, wanted: Server) -> Data:
    """Return what is where its data shall be, read by the deploy's own script."""
    it = container(wanted, memory(wanted, 0))
    script = NexusServer().command(it, wanted.place).get_raw_value()
    said = host.run(script, stdin=f"{token_hex(16)}\n")
    assert said.rc == 0, said.stderr
    return parse_data(said.stdout.splitlines())


def ask(host: Host, wanted: Server, path: str) -> Response:
    """Ask a server without signing in."""
    request = Request("GET", path)
    said = host.run("curl -q --config -", stdin=render([request], wanted.url, way=wanted.way))
    assert said.rc == 0, f"{wanted.url}{path}: curl's code {said.rc}"
    return parse(said.stdout.encode(), [request])[0]


def test_its_container_is_as_the_settings_say(
    wanted: Server, data: Data, check_container: Callable[[Container], None]
) -> None:
    check_container(container(wanted, memory(wanted, data.host_memory)))


def test_it_takes_writes(host: Host, wanted: Server) -> None:
    assert ask(host, wanted, "/service/rest/v1/status/writable").status == 200


def test_strangers_learn_nothing_of_its_users(host: Host, wanted: Server) -> None:
    assert ask(host, wanted, "/service/rest/v1/security/users").status in (401, 403)


def test_its_data_are_the_servers_alone(data: Data) -> None:
    assert data.used
    found = (data.owner, f"{data.foreign} files of others", f"open to others: {data.open}")
    assert found == (f"{UID}:{UID}", "0 files of others", "open to others: False")


def test_its_certificate_is_trusted_and_not_near_its_end(host: Host, wanted: Server) -> None:
    if wanted.tls is None or wanted.way is None:
        pytest.skip("the server has no TLS of its own")
    ca = f"-CAfile {wanted.way.ca}" if wanted.way.ca else ""
    # openssl verifies the chain and the name; "checkend" alone would take any certificate.
    said = host.run(
        f"openssl s_client -connect %s {ca} -verify_hostname %s -verify_return_error "
        f"</dev/null 2>&1 | openssl x509 -noout -checkend {DAYS * 86400}",
        wanted.way.connect,
        wanted.tls.names[0],
    )
    assert said.rc == 0, said.stdout + said.stderr


def test_its_own_settings_are_as_ours_say(wanted: Server, data: Data) -> None:
    assert properties_file(wanted, data).why == ()


def test_it_holds_what_the_settings_say(
    host: Host, settings: Settings, secret_values: Mapping[SecretRef, Secret]
) -> None:
    if settings.nexus is None:
        pytest.skip("the settings do not manage a Nexus")
    assert nexus.differences(host, settings.nexus, secret_values) == ()
