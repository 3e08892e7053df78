"""Tests on real hosts: a lab of this checkout's own, and ways to reach it."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from uplift.lab.names import path_hash

# Their asserts are as telling as those of a test file.
BOXES = ("container_box", "app_box", "nexus_box", "rollout_box", "fleet_box", "leaks")
pytest.register_assert_rewrite(*(f"tests.lab.{name}" for name in BOXES))

PROJECT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SCRIPTS = Path(sys.executable).parent
HOSTS = int(os.environ.get("UPLIFT_TEST_HOSTS", "3"))
UP_LIMIT = 1800  # seconds; images may have to be built
RUN_LIMIT = 900

# Two labs of one checkout have the same made-up secrets, but tokens that a server gave out are
# those of one server: the modules that keep such run one after the other.
KEEPERS = {"test_canary", "test_demo", "test_influxdb", "test_influxdb_backup", "test_site"}
KEEPERS |= {"test_verify", "test_sudo"}

Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the order of tests that kill be repeated."""
    seed = random.SystemRandom().randrange(10**6)
    told = "order of the tests marked crash (default: a new one, told at the end)"
    parser.addoption("--seed", type=int, default=seed, help=told)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how to repeat the order."""
    terminalreporter.write_line(f"order: --seed {terminalreporter.config.getoption('seed')}")


class Modules(LoadFileScheduling):
    """Spreads modules over the labs, those that keep tokens as if they were one."""

    def _split_scope(self, nodeid: str) -> str:
        module = Path(nodeid.partition("::")[0])
        return "keepers" if module.stem in KEEPERS else str(module)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Modules:
    """Let a module have all its tests in one lab."""
    return Modules(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is in this folder for `-m "not lab"`, and shuffle each file's tests that kill."""
    here = [item for item in items if HERE in item.path.parents]
    for item in here:
        item.add_marker("lab")
    order = random.Random(config.getoption("seed"))  # noqa: S311 - an order, no secret
    for path in sorted({item.path for item in here}):
        killing = [item for item in here if item.path == path and item.get_closest_marker("crash")]
        places = [items.index(item) for item in killing]
        for place, item in zip(places, order.sample(killing, len(killing)), strict=True):
            items[place] = item


def cases(
    values: Mapping[str, Any] | Iterable[str],
    *usual: str,
    mark: pytest.MarkDecorator = pytest.mark.slow,
) -> list[pytest.ParameterSet]:
    """Return a case for each value, named by its key; all but the usual ones are marked."""
    named = values if isinstance(values, Mapping) else {one: one for one in values}
    assert set(usual) < set(named)
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            id=key,
            marks=() if key in usual else (mark,),
        )
        for key, value in named.items()
    ]


crash_cases = partial(cases, mark=pytest.mark.crash)


def run(
    words: list[str], *, check: bool, limit: int = RUN_LIMIT, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command without standard input; show what it said when it failed and must not."""
    done = subprocess.run(
        words,
        cwd=options.pop("cwd", PROJECT),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
        **options,
    )
    if check and done.returncode != 0:
        shown = " ".join(words)
        pytest.fail(f"{shown}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


@pytest.fixture(scope="session")
def lab_name() -> str:
    """The lab of these tests: one for each checkout, unless UPLIFT_TEST_LAB names another.

    Each of pytest-xdist's processes has one of its own.
    """
    name = os.environ.get("UPLIFT_TEST_LAB") or f"test-{path_hash(PROJECT)}"
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return f"{name}-{worker}" if worker else name


@pytest.fixture(scope="session")
def environment(lab_name: str) -> dict[str, str]:
    """The environment of every command: it selects the lab of these tests."""
    return {**os.environ, "UPLIFT_LAB": lab_name, "PYINFRA_PROGRESS": "off"}


@pytest.fixture(scope="session")
def uplift(environment: dict[str, str]) -> Run:
    """Run `uplift` from the project folder, or from ``cwd``."""
    words = [str(SCRIPTS / "uplift")]

    def call(*args: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        return run([*words, *args], check=check, **{"env": environment, **options})

    return call


@pytest.fixture(scope="session")
def lab(uplift: Run, lab_name: str) -> dict[str, Any]:
    """The running lab as `uplift lab status --json` shows it; it stays up for the next run.

    Hosts that were made from older images or with older flags are made anew.
    """
    up = uplift(
        "lab",
        "up",
        "--name",
        lab_name,
        "--hosts",
        str(HOSTS),
        "--recreate",
        "--json",
        limit=UP_LIMIT,
    )
    found: dict[str, Any] = json.loads(up.stdout)
    return found


@pytest.fixture(scope="session")
def hosts(lab: dict[str, Any]) -> list[dict[str, Any]]:
    """The hosts of the lab: name, address, port, user, identity_file, groups, …"""
    return list(lab["hosts"])


def ssh_words(host: dict[str, Any], *options: str) -> list[str]:
    """Return an OpenSSH command line that checks the host's key."""
    settings = {
        "IdentityFile": host["identity_file"],
        "UserKnownHostsFile": host["known_hosts_file"],
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": "10",
        "LogLevel": "ERROR",
    }
    words = ["ssh", "-F", "none", *options, "-p", str(host["port"]), "-l", host["user"]]
    for key, value in settings.items():
        words += ["-o", f"{key}={value}"]
    return [*words, host["address"]]


@pytest.fixture(scope="session")
def login() -> Run:
    """Log in at a host of any lab as status shows it; keys of its dict may be changed before."""

    def call(host: dict[str, Any], **changed: str) -> subprocess.CompletedProcess[str]:
        return run([*ssh_words({**host, **changed}), "hostname"], check=False)

    return call


@pytest.fixture(scope="session")
def ssh(hosts: list[dict[str, Any]]) -> Run:
    """Run a command on a host, as the user that the inventory connects as."""
    known = {host["name"]: host for host in hosts}

    def call(host: str, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run([*ssh_words(known[host]), command], check=check)

    return call


@pytest.fixture(scope="session")
def pyinfra(lab: dict[str, Any], environment: dict[str, str]) -> Run:
    """Run pyinfra's command line from the project folder, on the lab of these tests."""
    words = [str(SCRIPTS / "pyinfra")]

    def call(
        *args: str, check: bool = True, limit: int = RUN_LIMIT
    ) -> subprocess.CompletedProcess[str]:
        return run([*words, *args], check=check, limit=limit, env=environment)

    return call


@pytest.fixture(scope="session")
def ship(hosts: list[dict[str, Any]]) -> Callable[[str], None]:
    """Copy the checkout as git sees it, changes included, to ~/project of a host."""
    known = {host["name"]: host for host in hosts}
    unpack = "rm -rf project && mkdir project && tar -C project -xf -"

    def call(host: str) -> None:
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = run(listed, check=True).stdout.split("\0")
        there = "\0".join(name for name in names if name and (PROJECT / name).is_file())
        packed = subprocess.run(
            ["tar", "-cf", "-", "--null", "-T", "-"],
            input=there.encode(),
            cwd=PROJECT,
            capture_output=True,
            timeout=RUN_LIMIT,
            check=True,
        )
        words = [*ssh_words(known[host]), unpack]
        subprocess.run(words, input=packed.stdout, timeout=RUN_LIMIT, check=True)

    return call


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and then says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nobody listens, held so that nobody else gets it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
