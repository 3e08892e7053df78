"""Every client installs through the groups of a Nexus where all must sign in, as its reader.

The Nexus, its users and its packages are those of the lab's own settings; the clients of the
application hosts have its groups as their only index.
"""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
import textwrap
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from nexus_server import PORT, wait_until_writable

pytestmark = pytest.mark.slow

BASE = f"http://lab-1:{PORT}/repository"
SIMPLE = f"{BASE}/pypi/simple"
DEPLOYER, READER = "UPLIFT_SECRET_NEXUS_DEPLOYER", "UPLIFT_SECRET_NEXUS_READER"
USERS = ("root", "deploy", "app")
PROJECTS = "/srv/uplift-clients"
WHEELS = "/srv/uplift-wheels"
TOOLS = {"packages": ["nodejs", "npm"], "uv": ["poetry==2.2.1"]}

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]
As = Callable[..., Done]
T = TypeVar("T")


def each(hosts: Iterable[str], work: Callable[[str], T]) -> dict[str, T]:
    """Do some work on several hosts at once, so that more hosts cost little more time."""
    names = list(hosts)
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(work, names), strict=True))


def secret(name: str) -> dict[str, Any]:
    """A reference to a secret of the lab."""
    return {"secret": f"nexus/{name}", "generate": True}


def user(name: str) -> dict[str, Any]:
    """The client files of a user: the reader's login, and the deployer's to publish with."""
    login = {"username": "reader", "password": secret("reader")}
    server = {"name": "lab", "repository": f"{BASE}/pypi-private/"}
    return {
        "user": name,
        "netrc": [{"machine": "lab-1", "login": "reader", "password": secret("reader")}],
        "npmrc": {
            "registry": f"{BASE}/npm/",
            "auth": [{"url": f"{BASE}/npm/", **login}],
        },
        "pypirc": {
            "servers": [{**server, "username": "deployer", "password": secret("deployer")}],
        },
    }


def clients(**uv: Any) -> dict[str, Any]:
    """The block `clients` of the application hosts."""
    trusted = [f"lab-1:{PORT}"]
    index = {"name": "corp", "url": SIMPLE, "default": True, "authenticate": "always"}
    return {
        "uv": {
            "system_certs": True,
            "allow_insecure_host": trusted,
            "index": [index],
            **uv,
        },
        "pip": {"index_url": SIMPLE, "trusted_host": trusted},
        "users": [user(name) for name in USERS],
    }


def written(folder: Path, block: dict[str, Any]) -> str:
    """Write an inventory: the lab's services that packages need, and its application hosts."""
    # Named lab.py, so that the group data of the lab holds for it too.
    file = folder / "lab.py"
    file.write_text(
        textwrap.dedent(f"""
        from pathlib import Path as _Path
        _lab = {{}}
        exec(_Path("inventories/lab.py").read_text(), _lab)
        _none = dict.fromkeys(("backups", "influxdb", "influxdb_client", "redis", "registry"))
        services = [(name, {{**data, **_none}}) for name, data in _lab["services"]]
        lab_services = services
        _own = {{"clients": {block!r}, "tools": {TOOLS!r}, "influxdb_client": None}}
        apps = [(name, {{**data, **_own}}) for name, data in _lab["apps"]]
        """)
    )
    return str(file)


@pytest.fixture(scope="module")
def passwords(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of the deploys, with passwords of this module alone."""
    known = {name: environment.get(name) for name in (DEPLOYER, READER)}
    environment |= {name: secrets.token_hex(16) for name in known}
    yield environment
    for name, value in known.items():
        if value is None:
            del environment[name]
        else:
            environment[name] = value


@pytest.fixture(scope="module")
def inventory(
    lab: dict[str, Any],
    lab_name: str,
    uplift: Run,
    pyinfra: Run,
    passwords: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The site, deployed: Nexus with packages on the first host, clients on the others."""
    uplift("lab", "image", "nexus:3.30.0", "--name", lab_name)
    file = written(tmp_path_factory.mktemp("inventory"), clients())
    pyinfra(file, "deploys/site.py", "-y")
    return file


@pytest.fixture(scope="module")
def apps(hosts: list[dict[str, Any]]) -> list[str]:
    """All application hosts."""
    return [one["name"] for one in hosts if "apps" in one["groups"]]


@pytest.fixture(scope="module")
def host(apps: list[str]) -> str:
    """One of them, for what needs no second."""
    return apps[0]


@pytest.fixture(scope="module")
def as_user(inventory: str, ssh: Run, host: str) -> As:
    """Run a command on an application host as a user, in an empty folder with empty caches."""

    def call(name: str, command: str, check: bool = True, on: str = host) -> Done:
        home = "/root" if name == "root" else f"/home/{name}"
        # What is kept in a cache would be installed without asking anybody.
        script = (
            'w=$(mktemp -d) && trap "rm -rf $w" EXIT && cd $w && export UV_CACHE_DIR=$w/uv-cache '
            "PIP_NO_CACHE_DIR=1 npm_config_cache=$w/npm-cache POETRY_CACHE_DIR=$w/poetry-cache "
            f"POETRY_VIRTUALENVS_IN_PROJECT=1; {command}"
        )
        login = f"HOME={home} USER={name} LC_ALL=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin"
        words = f"sudo runuser -u {name} -- env -i {login} sh -ec {shlex.quote(script)}"
        return ssh(on, words, check)

    return call


UV_PROJECT = """
[project]
name = "console"
version = "1.0.0"
requires-python = ">=3.11"
dependencies = ["maestro-core-config", "iniconfig"]
"""
POETRY_PROJECT = f"""
[tool.poetry]
name = "console"
version = "1.0.0"
description = ""
authors = []
package-mode = false
[tool.poetry.dependencies]
python = ">=3.11,<4"
maestro-core-config = "*"
iniconfig = "*"
[[tool.poetry.source]]
name = "corp"
url = "{SIMPLE}/"
priority = "primary"
"""
NPM_PROJECT = json.dumps(
    {
        "name": "console",
        "version": "1.0.0",
        "dependencies": {"@maestro/types": "1.0.0", "is-number": "7.0.0"},
    }
)
# Locked through the group, by the tools themselves.
LOCK = {
    "uv": ("pyproject.toml", UV_PROJECT, "uv lock -q"),
    "poetry": ("pyproject.toml", POETRY_PROJECT, "poetry lock -q"),
    "npm": ("package.json", NPM_PROJECT, "npm install --package-lock-only --no-audit --no-fund"),
}


@pytest.fixture(scope="module")
def projects(as_user: As, ssh: Run, apps: list[str]) -> Iterator[None]:
    """Locked projects on the application hosts."""

    def lock_all(host: str) -> None:
        for name, (file, text, lock) in LOCK.items():
            folder = f"{PROJECTS}/{name}"
            as_user(
                "root",
                f"umask 022; mkdir -p {folder} && cd {folder} && "
                f"printf %s {shlex.quote(text)} >{file} && {lock}",
                on=host,
            )

    def remove(host: str) -> None:
        tools = "UV_TOOL_DIR=/opt/uv-tools UV_TOOL_BIN_DIR=/usr/local/bin"
        as_user("root", f"{tools} uv tool uninstall -q poetry", on=host)
        ssh(host, f"sudo rm -rf {PROJECTS}")

    each(apps, lock_all)
    yield
    each(apps, remove)


SHOW = "import importlib.metadata as m; print(m.version('maestro-core-config'))"
PYTHON = "--python /usr/bin/python3"
# Each ends with what it installed.
INSTALL = {
    "uv pip install": f"uv venv -q {PYTHON} v && uv pip install -q --python v/bin/python "
    f'maestro-core-config iniconfig && v/bin/python -c "{SHOW}"',
    "uv sync": f"cp -r {PROJECTS}/uv p && cd p && uv sync -q --locked {PYTHON} && "
    f'.venv/bin/python -c "{SHOW}"',
    "pip install": "python3 -m venv v && v/bin/pip install -q --disable-pip-version-check "
    f'maestro-core-config iniconfig && v/bin/python -c "{SHOW}"',
    "poetry install": f"cp -r {PROJECTS}/poetry p && cd p && poetry install -n >&2 && "
    f'.venv/bin/python -c "{SHOW}"',
    "npm ci": f"cp -r {PROJECTS}/npm p && cd p && npm ci --no-audit --no-fund >&2 && "
    "test -d node_modules/is-number && "
    "node -p \"JSON.parse(require('fs').readFileSync('node_modules/@maestro/types/package.json'))"
    '.version"',
}
# What each says when the server does not take the password.
REFUSED = {
    "uv pip install": "401 Unauthorized",
    "uv sync": "401 Unauthorized",
    # It asks for another, and nobody is there to answer.
    "pip install": f"User for lab-1:{PORT}:",
    "poetry install": "Authorization error accessing",
    "npm ci": "E401",
}


def outcomes(as_user: As, hosts: list[str], *names: str) -> dict[tuple[str, str, str], Done]:
    """Install with every client, or with some, as every user of every host."""
    pairs = [(name, client) for name in USERS for client in names or INSTALL]

    def install(host: str) -> dict[tuple[str, str, str], Done]:
        return {
            (host, *pair): as_user(pair[0], INSTALL[pair[1]], check=False, on=host)
            for pair in pairs
        }

    return {key: one for found in each(hosts, install).values() for key, one in found.items()}


def test_every_client_of_every_user_of_every_host_installs_through_the_groups(
    projects: None, as_user: As, apps: list[str]
) -> None:
    done = outcomes(as_user, apps)
    failed = {key: one.stdout + one.stderr for key, one in done.items() if one.returncode}
    assert failed == {}
    assert len(done) == len(apps) * len(USERS) * len(INSTALL)
    assert {one.stdout.strip().splitlines()[-1] for one in done.values()} == {"1.0.0"}


DOCKERFILE = """
FROM registry:5000/python:3.13-slim
RUN --mount=type=secret,id=netrc,target=/root/.netrc --mount=from=uv,target=/opt/uv \\
    --mount=from=config,target=/etc/uv \\
    /opt/uv/uv venv -q --python /usr/bin/python3 /venv && \\
    /opt/uv/uv pip install -q --no-cache --python /venv/bin/python maestro-core-config iniconfig
"""
IMAGE = "uplift-clients:test"


@pytest.fixture(scope="module")
def build(as_user: As, uplift: Run, lab_name: str, host: str, apps: list[str]) -> Iterator[As]:
    """Build an image that installs packages; the login is a secret file of a user."""
    uplift("lab", "image", "python", "--name", lab_name)

    def call(file: str, dockerfile: str = DOCKERFILE, options: str = "", on: str = host) -> Done:
        address = "$(getent hosts lab-1 | cut -d' ' -f1)"
        return as_user(
            "root",
            f"printf %s {shlex.quote(dockerfile)} >Dockerfile; docker build -t {IMAGE} --no-cache "
            f"--progress plain --add-host lab-1:{address} --secret id=netrc,src={file} "
            f"--build-context uv=/opt/uv/current --build-context config=/etc/uv {options} . 2>&1",
            check=False,
            on=on,
        )

    yield call
    each(apps, lambda host: as_user("root", f"docker image rm -f {IMAGE}", on=host))


def leaks(as_user: As, password: str, host: str) -> int:
    """Count the files of the image, its layers and its configuration that hold a text."""
    search = (
        f"docker save {IMAGE} | tar -x && find . -type f -size +0 | while read f; do case "
        '"$(head -c 2 $f | od -An -tx1)" in " 1f 8b") zcat $f;; *) cat $f;; esac | '
        f"grep -qaF {password} && echo $f; done | wc -l"
    )
    return int(as_user("root", search, on=host).stdout)


@pytest.mark.parametrize("name", USERS)
def test_an_image_is_built_through_the_group_on_every_host_and_keeps_no_login(
    build: As, as_user: As, passwords: dict[str, str], apps: list[str], name: str
) -> None:
    home = "/root" if name == "root" else f"/home/{name}"
    done = each(apps, lambda host: build(f"{home}/.netrc", on=host))
    assert {host: one.stdout for host, one in done.items() if one.returncode} == {}
    show = f'docker run --rm --network none {IMAGE} /venv/bin/python -c "{SHOW}"'
    shown = each(apps, lambda host: as_user("root", show, on=host).stdout.strip())
    assert shown == dict.fromkeys(apps, "1.0.0")
    found = each(apps, lambda host: leaks(as_user, passwords[READER], host))
    assert found == dict.fromkeys(apps, 0)


def test_a_login_that_is_copied_into_an_image_is_found_there(
    build: As, as_user: As, passwords: dict[str, str], host: str
) -> None:
    """The control of the search."""
    run = "RUN --mount=type=secret,id=netrc cp /run/secrets/netrc /kept"
    done = build("/root/.netrc", f"FROM registry:5000/python:3.13-slim\n{run}\n")
    assert done.returncode == 0, done.stdout
    assert leaks(as_user, passwords[READER], host) > 0


def test_a_wrong_password_is_told_by_every_client_and_the_right_one_mends_it(
    inventory: str,
    projects: None,
    as_user: As,
    build: As,
    pyinfra: Run,
    uplift: Run,
    passwords: dict[str, str],
    apps: list[str],
) -> None:
    right, wrong = passwords[READER], secrets.token_hex(16)
    try:
        passwords[READER] = wrong
        pyinfra(inventory, "deploys/clients.py", "-y", "--limit", "apps")
        done = outcomes(as_user, apps)
        built = each(apps, lambda host: build("/root/.netrc", on=host))
        verified = verify(uplift, inventory)
    finally:
        passwords[READER] = right
        pyinfra(inventory, "deploys/clients.py", "-y", "--limit", "apps")
    said = {key: one.stdout + one.stderr for key, one in done.items()}
    assert [key for key, one in done.items() if one.returncode == 0] == []
    unclear = {key: text for key, text in said.items() if REFUSED[key[2]] not in text}
    assert unclear == {}
    assert [key for key, text in said.items() if wrong in text] == []
    assert [host for host, one in built.items() if one.returncode == 0] == []
    assert [host for host, one in built.items() if "401 Unauthorized" not in one.stdout] == []
    assert [host for host, one in built.items() if wrong in one.stdout] == []
    assert set(verified) == set(apps)
    for failures in verified.values():
        told = {one["test"]: one["message"] for one in failures}
        assert [name for name, text in told.items() if "401" not in text] == []
        assert len(told) == len(("uv", "pip", "npm")), told
    assert verify(uplift, inventory) == {host: [] for host in apps}
    mended = outcomes(as_user, apps, "uv pip install", "npm ci")
    assert {key: one.stderr for key, one in mended.items() if one.returncode} == {}


def verify(uplift: Run, inventory: str) -> dict[str, list[dict[str, Any]]]:
    """Let `uplift verify` ask the indexes; return what failed on each application host."""
    words = ("--limit", "apps", "--tests", "tests/verify/test_clients.py", "--json")
    found = json.loads(uplift("verify", inventory, *words, check=False).stdout)["hosts"]
    return {one["name"]: one["failures"] for one in found}


def changed(result: subprocess.CompletedProcess[str]) -> dict[str, set[str]]:
    """Return the hosts that each operation changed."""
    operations = json.loads(result.stdout)["results"]["operations"]
    return {one["name"]: set(one["success"]) for one in operations if one["success"]}


def accepted(as_user: As, login: str, password: str, repository: str) -> bool:
    """Ask the server whether it takes a login for a repository."""
    asked = as_user(
        "root",
        f"curl -s -o /dev/null -w '%{{http_code}}' -u {login}:{password} "
        f"{BASE}/{repository}/simple/maestro-core-config/",
    )
    assert asked.stdout in ("200", "401"), asked.stdout
    return asked.stdout == "200"


def test_new_passwords_of_deployer_and_reader_are_one_run_and_the_next_changes_nothing(
    inventory: str,
    projects: None,
    as_user: As,
    pyinfra: Run,
    passwords: dict[str, str],
    apps: list[str],
) -> None:
    who = {DEPLOYER: ("deployer", "pypi-private"), READER: ("reader", "pypi")}
    old = {name: passwords[name] for name in who}
    # The control: they are taken as long as they hold.
    assert all(accepted(as_user, who[n][0], old[n], who[n][1]) for n in who)
    passwords |= {name: secrets.token_hex(16) for name in who}

    first = pyinfra(inventory, "deploys/site.py", "-y", "--json")
    second = pyinfra(inventory, "deploys/site.py", "-y", "--json")

    names = list(changed(first))
    assert [name.partition(" | ")[2] or name for name in names] == [
        "Nexus, configured",
        "Client files",
    ]
    assert changed(first)[names[1]] == {"lab-1", *apps}
    assert changed(second) == {}
    assert all(accepted(as_user, who[n][0], passwords[n], who[n][1]) for n in who)
    assert not any(accepted(as_user, who[n][0], old[n], who[n][1]) for n in who)
    done = outcomes(as_user, apps, "uv pip install", "npm ci")
    assert {key: one.stderr for key, one in done.items() if one.returncode} == {}
    files = each(apps, lambda host: as_user("app", "cat ~/.pypirc", on=host).stdout)
    assert {host: text.count(passwords[DEPLOYER]) for host, text in files.items()} == (
        dict.fromkeys(apps, 1)
    )


@pytest.fixture
def set_up(pyinfra: Run, tmp_path: Path, host: str) -> Callable[..., None]:
    """Give the clients of one application host other settings of uv."""

    def call(**uv: Any) -> None:
        file = written(tmp_path, clients(**uv))
        pyinfra(file, "deploys/clients.py", "-y", "--limit", host)

    return call


@pytest.fixture
def stopped(
    projects: None,
    as_user: As,
    inventory: str,
    pyinfra: Run,
    set_up: Callable[..., None],
    ssh: Run,
    hosts: list[dict[str, Any]],
) -> Iterator[str]:
    """A Nexus that is down, after a cache and a folder of wheels were filled from it."""
    cache = "/srv/uplift-cache"
    gone = f"rm -rf {cache} {WHEELS}"
    as_user("root", f"{gone}; umask 022; pip3 download -q -d {WHEELS} maestro-core-config")
    as_user("root", f"export UV_CACHE_DIR={cache}; {INSTALL['uv sync']}")
    set_up(find_links=[WHEELS])
    server = hosts[0]
    ssh(server["name"], "sudo docker stop -t 120 nexus")
    yield cache
    ssh(server["name"], "sudo docker start nexus")
    wait_until_writable(f"http://{server['address']}:{server['ports'][str(PORT)]}")
    pyinfra(inventory, "deploys/clients.py", "-y")
    as_user("root", gone)


def test_without_the_server_uv_installs_from_its_cache_and_from_a_folder_of_wheels(
    stopped: str, as_user: As, build: As, set_up: Callable[..., None]
) -> None:
    sync, install = INSTALL["uv sync"], INSTALL["uv pip install"].replace(" iniconfig", "")
    cached = as_user("root", f"export UV_CACHE_DIR={stopped}; {sync}")
    folder = as_user("app", f"export UV_OFFLINE=1; {install}")
    assert {one.stdout.strip() for one in (cached, folder)} == {"1.0.0"}
    # The controls: neither helps where it is not asked for.
    for command in (sync, install, f"export UV_OFFLINE=1; {sync}"):
        done = as_user("app", f"export UV_HTTP_RETRIES=1; {command}", check=False)
        reason = (
            "Network connectivity is disabled" if "OFFLINE" in command else "Connection refused"
        )
        assert done.returncode != 0
        assert reason in done.stderr

    file = DOCKERFILE.replace(" iniconfig", "").replace(
        "--mount=from=config", f"--mount=from=wheels,target={WHEELS} --mount=from=config"
    )
    wheels = f"--build-context wheels={WHEELS}"
    failed = build("/root/.netrc", file, wheels)
    assert failed.returncode != 0
    assert "Connection refused" in failed.stdout
    offline = file.replace("/opt/uv/uv pip", "UV_OFFLINE=1 /opt/uv/uv pip")
    done = build("/root/.netrc", offline, wheels)
    assert done.returncode == 0, done.stdout

    # What `offline` in the settings does for the whole host: nobody needs the variable.
    set_up(find_links=[WHEELS], offline=True)
    assert as_user("app", install).stdout.strip() == "1.0.0"
    done = build("/root/.netrc", file, wheels)
    assert done.returncode == 0, done.stdout
