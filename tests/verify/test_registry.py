"""A container registry: closed to strangers, open to its users, trusted by its own host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from secrets import token_hex

import pytest
from testinfra.host import Host

from uplift.secrets import Secret, SecretRef
from uplift.settings import Settings
from uplift.spec.container import Container
from uplift.spec.http import Auth, Basic, Request, quote, render
from uplift.spec.registry import Registry
from uplift.spec.registry.models import FILES, FOLDER
from uplift.verify import files

PING = Request("GET", "/v2/")

DAYS = 14
"""A certificate that ends sooner fails: time to run the deploy, or to get a new one."""


@pytest.fixture(scope="module")
def wanted(settings: Settings) -> Registry:
    if settings.registry is None:
        pytest.skip("the settings have no registry")
    return settings.registry


@pytest.fixture(scope="module")
def trusted(host: Host, wanted: Registry) -> Mapping[str, str]:
    """Return the names by which this host uses the registry, with the CA file that Docker has.

    The first name is used here in any case; without a file the system's own store must trust it.
    """
    there = {name: f"/etc/docker/certs.d/{name}/ca.crt" for name in wanted.names}
    known = {name: file for name, file in there.items() if host.run("test -e %s", file).rc == 0}
    return {wanted.names[0]: "", **known}


def status(
    host: Host,
    wanted: Registry,
    ca: str,
    auth: Auth | None = None,
    request: Request = PING,
) -> int:
    """Return what the registry answers on its first name; the chain is checked, by its CA alone."""
    name = wanted.names[0]
    config = render([request], f"{wanted.scheme}://{name}", auth)
    if ca:
        config = f"cacert = {quote(ca)}\n{config}"
    said = host.run("curl -q --config -", stdin=Secret(config))
    assert said.rc == 0, f"{wanted.scheme}://{name}{request.path}: curl's code {said.rc}"
    return int(said.stdout.splitlines()[-1].split()[0])


def test_its_container_runs_as_wanted(
    wanted: Registry, check_container: Callable[[Container], None]
) -> None:
    check_container(wanted.container())


def test_its_files_are_for_root_alone(host: Host, wanted: Registry) -> None:
    names = FILES if wanted.tls else FILES[:1]
    rights = {name: files.rights(host, f"{FOLDER}/{name}") for name in names}
    assert rights == dict.fromkeys(names, "600 root:root")
    assert files.rights(host, FOLDER) == "700 root:root"


def test_nobody_gets_in_without_a_password(
    host: Host, wanted: Registry, trusted: Mapping[str, str]
) -> None:
    ca = trusted[wanted.names[0]]
    assert status(host, wanted, ca) == 401
    wrong = Basic(wanted.users[0].name, Secret(token_hex(8)))
    assert status(host, wanted, ca, wrong) == 401


def test_each_user_gets_in_with_the_password_of_the_settings(
    host: Host,
    wanted: Registry,
    trusted: Mapping[str, str],
    secret_values: Mapping[SecretRef, Secret],
) -> None:
    ca = trusted[wanted.names[0]]
    refused = [
        user.name
        for user in wanted.users
        if status(host, wanted, ca, Basic(user.name, secret_values[user.password])) != 200
    ]
    assert refused == []


def test_its_certificate_is_trusted_and_not_near_its_end(
    host: Host, wanted: Registry, trusted: Mapping[str, str]
) -> None:
    if wanted.tls is None:
        pytest.skip("the registry has no TLS: it listens on a loopback address alone")
    wrong = {}
    for name, ca in trusted.items():
        words = f"-CAfile {ca}" if ca else ""
        host_name = name.rpartition(":")[0].strip("[]")
        # openssl verifies the chain and the name; "checkend" alone would take any certificate.
        said = host.run(
            f"openssl s_client -connect %s {words} -verify_hostname %s -verify_return_error "
            f"</dev/null 2>&1 | openssl x509 -noout -checkend {DAYS * 86400}",
            name,
            host_name,
        )
        if said.rc != 0:
            wrong[name] = said.stdout + said.stderr
    assert wrong == {}


@pytest.fixture
def image(host: Host, wanted: Registry) -> Iterator[str]:
    """An image of a few bytes of its own, under a name of the registry; gone afterwards."""
    reference = f"{wanted.names[0]}/uplift-verify:{token_hex(4)}"
    host.check_output(f"tar -C /etc -c hostname | docker import - {reference}")
    yield reference
    host.run("docker rmi %s", reference)


def test_an_image_is_pushed_and_pulled_with_a_login(
    host: Host,
    wanted: Registry,
    trusted: Mapping[str, str],
    secret_values: Mapping[SecretRef, Secret],
    image: str,
) -> None:
    user = wanted.users[0]
    password = secret_values[user.password]
    # A configuration of its own: the login that root has is not this test's business.
    script = (
        "set -eu; export DOCKER_CONFIG; DOCKER_CONFIG=$(mktemp -d); "
        "trap 'rm -rf \"$DOCKER_CONFIG\"' EXIT; "
        'docker login -u "$1" --password-stdin "$2" >/dev/null 2>&1; '
        'docker push -q "$3"; docker rmi "$3"; docker pull -q "$3"; '
        'docker image inspect --format "{{json .RepoDigests}}" "$3"'
    )
    said = host.run(
        "sh -c %s sh %s %s %s",
        script,
        user.name,
        wanted.names[0],
        image,
        stdin=password,
    )
    assert said.rc == 0, said.stderr
    repository = image.rpartition(":")[0]
    digests = json.loads(said.stdout.splitlines()[-1])
    (digest,) = [one.rpartition("@")[2] for one in digests if one.startswith(f"{repository}@")]
    if wanted.delete:
        # Nothing stays behind but some bytes for the garbage collection.
        gone = Request("DELETE", f"/v2/uplift-verify/manifests/{digest}")
        ca = trusted[wanted.names[0]]
        assert status(host, wanted, ca, Basic(user.name, password), gone) == 202
