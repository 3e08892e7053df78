"""Client files: right owner, private where they hold secrets, and read by the clients as meant."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host

from uplift.secrets import Secret, SecretRef
from uplift.settings import Settings
from uplift.spec.clients import Clients, UserFiles, npm_scope
from uplift.spec.clients.dockerconfig import DockerDocument
from uplift.verify import clients, files, users

Secrets = Mapping[SecretRef, Secret]

HOST_FILES = {"/etc/uv/uv.toml": "uv", "/etc/pip.conf": "pip"}


@pytest.fixture(scope="module")
def wanted(settings: Settings) -> Clients:
    if settings.clients is None:
        pytest.skip("the settings list no client files")
    return settings.clients


def private_files(one: UserFiles) -> Iterator[str]:
    """Return the files of a user that hold secrets."""
    if one.netrc:
        yield ".netrc"
    if one.npmrc and one.npmrc.auth:
        yield ".npmrc"
    if one.pypirc:
        yield ".pypirc"
    if one.docker:
        yield ".docker/config.json"


def open_files(one: UserFiles) -> Iterator[str]:
    """Return the files of a user that hold none."""
    if one.npmrc and not one.npmrc.auth:
        yield ".npmrc"
    if one.pip:
        yield ".config/pip/pip.conf"


def test_files_with_secrets_are_for_their_user_alone(host: Host, wanted: Clients) -> None:
    wrong = {}
    for one in wanted.users:
        for name in private_files(one):
            path = f"{users.home(host, one.user)}/{name}"
            found = files.stat(host, path)
            if not found or (found.kind, found.owner, found.mode) != (
                "regular file",
                one.user,
                0o600,
            ):
                wrong[path] = found
    assert wrong == {}


def test_files_without_secrets_are_their_users(host: Host, wanted: Clients) -> None:
    wrong = {}
    for one in wanted.users:
        for name in open_files(one):
            path = f"{users.home(host, one.user)}/{name}"
            found = files.stat(host, path)
            if not found or found.owner != one.user or not found.is_safe:
                wrong[path] = found
    assert wrong == {}


def test_files_of_the_host_are_for_every_user(host: Host, wanted: Clients) -> None:
    listed = [path for path, block in HOST_FILES.items() if getattr(wanted, block)]
    if not listed:
        pytest.skip("the settings list no client files of the host")
    rights = {path: files.rights(host, path) for path in listed}
    assert rights == dict.fromkeys(listed, "644 root:root")
    unreadable = [p for p in listed if host.run("runuser -u nobody -- cat -- %s", p).rc]
    assert unreadable == []


# What the clients read. Secrets are compared as `Secret`, so that no failure prints one.


def test_netrc_gives_each_login(host: Host, wanted: Clients, secret_values: Secrets) -> None:
    wrong = []
    for one in listed(wanted, "netrc"):
        found = clients.logins(host, f"{users.home(host, one.user)}/.netrc", clients.from_netrc)
        for entry in one.netrc:
            if found.get(entry.machine) != (entry.login, secret_values[entry.password]):
                wrong.append(f"{one.user}: machine {entry.machine}")
    assert wrong == []


def test_pypirc_gives_each_login(host: Host, wanted: Clients, secret_values: Secrets) -> None:
    wrong = []
    for one in listed(wanted, "pypirc"):
        found = clients.logins(host, f"{users.home(host, one.user)}/.pypirc", clients.from_pypirc)
        for server in one.pypirc.servers if one.pypirc else ():
            if found.get(server.name) != (server.username, secret_values[server.password]):
                wrong.append(f"{one.user}: [{server.name}]")
    assert wrong == []


def test_docker_config_gives_each_login(
    host: Host, wanted: Clients, secret_values: Secrets, warn: Callable[[str], None]
) -> None:
    wrong = []
    for one in listed(wanted, "docker"):
        path = f"{users.home(host, one.user)}/.docker/config.json"
        auths = one.docker.auths if one.docker else []
        helped = DockerDocument(files.read(host, path)).left(
            {f"auths {auth.registry}": "" for auth in auths}
        )
        found = clients.logins(host, path, clients.from_docker)
        for auth in auths:
            if f"auths {auth.registry}" in helped:
                warn(f"{one.user}: {auth.registry}: a credential helper answers for it")
            elif found.get(auth.registry) != (auth.username, secret_values[auth.password]):
                wrong.append(f"{one.user}: {auth.registry}")
    assert wrong == []


def test_npmrc_gives_each_login(host: Host, wanted: Clients, secret_values: Secrets) -> None:
    wrong = []
    for one in listed(wanted, "npmrc"):
        found = clients.logins(host, f"{users.home(host, one.user)}/.npmrc", clients.from_npmrc)
        for auth in one.npmrc.auth if one.npmrc else ():
            word = auth.token or auth.password
            assert word
            if found.get(npm_scope(auth.url)) != (auth.username or "", secret_values[word]):
                wrong.append(f"{one.user}: {npm_scope(auth.url)}")
    assert wrong == []


def test_npm_reads_the_settings(host: Host, wanted: Clients) -> None:
    wrong = {}
    for one in installed(host, listed(wanted, "npmrc"), "command -v npm"):
        assert one.npmrc
        expected = {f"{scope}:registry": url for scope, url in one.npmrc.scopes.items()}
        expected |= {"registry": one.npmrc.registry} if one.npmrc.registry else {}
        expected |= {"cafile": one.npmrc.cafile} if one.npmrc.cafile else {}
        said = users.as_user(host, one.user, "npm config list --json")
        read = json.loads(said.stdout) if said.rc == 0 else {}
        for key, value in expected.items():
            if str(read.get(key)).rstrip("/") != value.rstrip("/"):
                wrong[f"{one.user}: {key}"] = read.get(key, said.stderr[-400:])
    assert wrong == {}


def test_pip_reads_the_settings(host: Host, wanted: Clients) -> None:
    if not wanted.pip and not any(one.pip for one in wanted.users):
        pytest.skip("the settings have no pip.conf")
    wrong = {}
    for one in installed(host, every_user(wanted), "python3 -m pip --version"):
        said = users.as_user(host, one.user, "python3 -m pip config list")
        for key, value in pip_options(wanted, one).items():
            if f"global.{key}={value!r}" not in said.stdout.splitlines():
                wrong[f"{one.user}: {key}"] = (said.stdout + said.stderr).splitlines()
    assert wrong == {}


def test_uv_toml_holds_each_index(host: Host, wanted: Clients) -> None:
    if wanted.uv is None:
        pytest.skip("the settings have no uv.toml")
    found = tomllib.loads(files.read(host, "/etc/uv/uv.toml"))
    indexes = {one["name"]: one for one in found.get("index", ())}
    wrong = [
        index.name
        for index in wanted.uv.index
        if (at := indexes.get(index.name, {})).get("url") != index.url
        or at.get("default", False) != index.default
        or at.get("explicit", False) != index.explicit
    ]
    assert wrong == []


# What the clients get, each through the index that the settings name, with nothing cached.


def test_uv_resolves_through_its_index(host: Host, wanted: Clients) -> None:
    if not wanted.uv or not wanted.probe.python:
        pytest.skip("the settings have no uv.toml, or nothing to ask an index for")
    urls = [one.url.rstrip("/") for one in wanted.uv.index if not one.explicit]
    package, wrong = wanted.probe.python, []
    for one in installed(host, every_user(wanted), "command -v uv && command -v python3"):
        said = users.as_user(
            host,
            one.user,
            f"{clients.UV_BRIEFLY} uv pip install -v --dry-run --no-cache --no-deps --system "
            "--break-system-packages --reinstall %s",
            package,
        )
        # Without an index in the settings it is uv's own, which only has to answer.
        asked = not urls or any(f"{url}/{package}/" in said.stderr for url in urls)
        if said.rc != 0 or not asked:
            wrong.append(told(one, said))
    assert not wrong, "\n".join(wrong)


def test_pip_downloads_through_its_index(host: Host, wanted: Clients) -> None:
    if not wanted.probe.python:
        pytest.skip("the settings name nothing to ask an index for")
    if not wanted.pip and not any(one.pip for one in wanted.users):
        pytest.skip("the settings have no pip.conf")
    wrong = []
    for one in installed(host, every_user(wanted), "python3 -m pip --version"):
        url = pip_options(wanted, one).get("index-url", "")
        said = users.as_user(
            host,
            one.user,
            "folder=$(mktemp -d) && trap 'rm -rf \"$folder\"' EXIT && "
            f"python3 -m pip download {clients.PIP_BRIEFLY} "
            '-vv --no-deps --no-cache-dir -d "$folder" %s 2>&1',
            wanted.probe.python,
        )
        if said.rc != 0 or url not in said.stdout:
            wrong.append(told(one, said))
    assert not wrong, "\n".join(wrong)


def test_npm_finds_packages_through_its_registry(host: Host, wanted: Clients) -> None:
    if not wanted.probe.npm:
        pytest.skip("the settings name nothing to ask a registry for")
    wrong = []
    for one in installed(host, listed(wanted, "npmrc"), "command -v npm"):
        url = (one.npmrc.registry if one.npmrc else None) or ""
        said = users.as_user(
            host,
            one.user,
            "folder=$(mktemp -d) && trap 'rm -rf \"$folder\"' EXIT && "
            f'npm view {clients.NPM_BRIEFLY} --cache "$folder" --loglevel http %s name 2>&1',
            wanted.probe.npm,
        )
        if said.rc != 0 or url.rstrip("/") not in said.stdout:
            wrong.append(told(one, said))
    assert not wrong, "\n".join(wrong)


def told(one: UserFiles, said: CommandResult) -> str:
    """Return what a client said at its end, and for whom."""
    text = (said.stdout + said.stderr).strip()
    # pip tells that it was refused only in between, and only with -vv.
    why = [line for line in text.splitlines() if line.startswith("Could not fetch URL")]
    return "\n".join([f"{one.user}: exit code {said.rc}:", *why[-1:], text[-400:]])


def listed(wanted: Clients, block: str) -> list[UserFiles]:
    """Return the users whose settings have a block, or skip the test."""
    found = [one for one in wanted.users if getattr(one, block)]
    if not found:
        pytest.skip(f"the settings list no {block} for any user")
    return found


def every_user(wanted: Clients) -> list[UserFiles]:
    """Return all users of the settings; root's eyes are enough where there is none."""
    return wanted.users or [UserFiles(user="root")]


def installed(host: Host, ones: list[UserFiles], command: str) -> list[UserFiles]:
    """Return the users for whom a client is installed, or skip the test."""
    found = [one for one in ones if users.has(host, one.user, command)]
    if not found:
        pytest.skip(f"not for any of the users: {command}")
    return found


def pip_options(wanted: Clients, one: UserFiles) -> dict[str, str]:
    """Return what pip shall use for a user: the user's own file goes over the host's."""
    blocks = [block for block in (wanted.pip, one.pip) if block]
    options = [("index-url", block.index_url) for block in blocks]
    options += [("cert", block.cert) for block in blocks]
    return {key: value for key, value in options if value}
