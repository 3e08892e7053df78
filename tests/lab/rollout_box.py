"""A project folder whose rollouts are the tests' own, over hosts with one file to change.

A plugin of the test files that name it in ``pytest_plugins``.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SCRIPTS = Path(sys.executable).parent
DEPLOY = "tests/lab/rollout_deploy.py"
GATE = "tests/lab/rollout_gate.py"
LIMIT = 600  # seconds for a moment to come, on a slow machine
NAMES = ("lab-1", "lab-2", "lab-3")

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Project:
    """The project folder of these tests: runs are recorded in a folder of their own."""

    folder: Path
    uplift: Run
    ssh: Run
    environment: Mapping[str, str]
    names: Sequence[str] = NAMES
    before: set[str] = field(default_factory=set)

    def words(
        self, *more: str, waves: str = "1,1,1", version: str = "two", deploy: str = DEPLOY
    ) -> list[str]:
        """Return the words of a rollout."""
        limits = [word for name in self.names for word in ("--limit", name)]
        options = ["--waves", waves, "--data", f"version={version}", "-y", "--json"]
        return ["rollout", "inventories/lab.py", deploy, *limits, *options, *more]

    def call(self, *words: str) -> tuple[int, list[dict[str, Any]], str]:
        """Run `uplift`; return exit code, the JSON lines, and what it printed beside them."""
        done = self.uplift(*words, check=False, cwd=self.folder)
        return done.returncode, lines(done.stdout), done.stderr

    def rollout(self, *more: str, **fields: str) -> tuple[int, list[dict[str, Any]], str]:
        """Roll out."""
        return self.call(*self.words(*more, **fields))

    def started(
        self, *words: str, program: Sequence[str] = (str(SCRIPTS / "uplift"),)
    ) -> subprocess.Popen[str]:
        """Run `uplift` in the background, in a process group of its own."""
        self.before = {path.name for path in self.runs()}
        return subprocess.Popen(
            [*program, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def killed(self, moment: str, what: str, *words: str) -> None:
        """Run `uplift` until it kills itself at a moment: see killed.py."""
        program = (sys.executable, "-P", str(HERE / "killed.py"), moment, what)
        child = self.started(*words, program=program)
        out, errors = child.communicate(timeout=LIMIT)
        assert child.returncode == -signal.SIGKILL, (child.returncode, out, errors)

    def journal(self) -> list[dict[str, Any]]:
        """Return the records of the last run that began since `started`."""
        found = [path for path in self.runs() if path.name not in self.before]
        return lines((found[-1] / "journal.jsonl").read_text()) if found else []

    def runs(self) -> list[Path]:
        """Return the folders of all runs."""
        return sorted(file.parent for file in self.folder.glob(".uplift/runs/*/journal.jsonl"))

    def until(self, kind: str, host: str = "") -> None:
        """Wait for a record in the journal of the last run."""
        end = time.monotonic() + LIMIT
        while not any(
            one["kind"] == kind and host in ("", one.get("host")) for one in self.journal()
        ):
            assert time.monotonic() < end, f"no record {kind} {host}: {self.journal()}"
            time.sleep(0.1)

    def sh(self, host: str, script: str, *, check: bool = True) -> str:
        """Run a script as root."""
        return str(self.ssh(host, f"sudo sh -c {shlex.quote(script)}", check).stdout).strip()

    def locks(self, *standings: str) -> set[str]:
        """Return the hosts of these tests whose locks stand so."""
        words = ("lock", "status", "inventories/lab.py", "--json")
        found = json.loads(self.uplift(*words, check=False, cwd=self.folder).stdout)["hosts"]
        states = {one["host"]: one.get("state") for one in found}
        return {name for name in self.names if states[name] in standings}

    def versions(self) -> list[str]:
        """Return what each host has."""
        return [self.sh(name, "cat /etc/uplift-test").partition(" ")[2] for name in self.names]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.5)


def lines(text: str) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def steps(records: list[dict[str, Any]]) -> list[str]:
    """Return what happened to hosts, in order."""
    kinds = ("intent", "done", "failed", "rejected", "unreachable", "committed")
    return [
        f"{one['kind']} {one['host']}"
        for one in records
        if one["kind"] in kinds and one.get("host")
    ]


def link_project(folder: Path, *, but: str = "") -> None:
    """Fill a folder with links to the project, so that what runs there keeps runs of its own."""
    for path in PROJECT.iterdir():
        if path.name not in (".uplift", ".git", but):
            (folder / path.name).symlink_to(path)
    (folder / ".uplift").mkdir()
    for path in (PROJECT / ".uplift").iterdir():
        if path.name != "runs":
            (folder / ".uplift" / path.name).symlink_to(path)


@pytest.fixture(scope="module")
def whole_project(
    hosts: list[dict[str, Any]],
    uplift: Run,
    ssh: Run,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    """A folder like the project's, whose runs are these tests' own."""
    folder = tmp_path_factory.mktemp("project")
    link_project(folder)
    return Project(folder, uplift, ssh, environment)


@pytest.fixture
def project(whole_project: Project) -> Iterator[Project]:
    """Every host has version one, and nothing stands in the way."""
    yield from _fresh(whole_project)


@pytest.fixture
def pair(whole_project: Project) -> Iterator[Project]:
    """The same with the first two hosts alone, for what needs no more."""
    yield from _fresh(replace(whole_project, names=NAMES[:2]))


def _fresh(project: Project) -> Iterator[Project]:
    clear = "rm -f /etc/uplift-test-*"
    for name in project.names:
        project.sh(name, f"{clear}; echo version one >/etc/uplift-test")
    yield project
    for name in project.names:
        project.sh(name, clear)
