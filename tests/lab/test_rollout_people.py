"""People and programs beside a run over real hosts: hooks, a terminal that closes, approval."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.lab.rollout_box import LIMIT, Project, lines

pytest_plugins = ["tests.lab.rollout_box"]

MOMENTS = ("start", "wave-end", "failure", "end")

# Its arguments: where the facts go, and what it does then.
HOOK = """
import json, sys, time
facts = json.load(sys.stdin)
with open(sys.argv[1], "a") as file:
    file.write(json.dumps(facts) + "\\n")
if sys.argv[2] == "late":
    time.sleep(120)
if sys.argv[2] == "fail":
    sys.exit("nobody has agreed")
"""


class Told:
    """Hooks of a run: programs, and an address on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.posted: list[tuple[str, dict[str, Any]]] = []
        (folder / "hook.py").write_text(HOOK)
        told = self.posted

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"]))
                told.append((self.headers["Content-Type"], json.loads(text)))
                # What is answered to one of them is an error.
                self.send_response(503 if told[-1][1]["moment"] == "end" else 204)
                self.end_headers()

            def log_message(self, *given: object) -> None:
                """Print nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> dict[str, str]:
        """Return the part of a hook that is told by HTTP."""
        return {"url": f"http://127.0.0.1:{self.server.server_port}/told"}

    def run(self, file: str, does: str = "") -> dict[str, Sequence[str]]:
        """Return the part of a hook that runs a program."""
        words = (sys.executable, str(self.folder / "hook.py"), str(self.folder / file), does)
        return {"run": words}

    def policy(self, *hooks: Mapping[str, Any]) -> str:
        """Write a policy with hooks, and return its file."""
        (self.folder / "policy.yaml").write_text(json.dumps({"hooks": hooks}))
        return str(self.folder / "policy.yaml")

    def facts(self, file: str = "facts") -> list[dict[str, Any]]:
        """Return what programs have read."""
        path = self.folder / file
        return lines(path.read_text()) if path.exists() else []


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    found = Told(tmp_path)
    yield found
    found.server.shutdown()


def warnings(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [one["words"] for one in records if one["kind"] == "warning"]


@pytest.mark.slow
def test_hooks_are_told_of_each_moment_and_one_that_is_late_holds_nothing_up(
    pair: Project, told: Told
) -> None:
    every = [{"at": at, **how} for at in MOMENTS for how in (told.run("facts"), told.url)]
    late = {"at": "wave-end", "timeout": "2s", **told.run("late", "late")}
    code, said, errors = pair.rollout(
        "--no-gate", "--policy", told.policy(*every, late), waves="1,1"
    )
    assert code == 0, errors
    assert pair.versions() == ["two", "two"]
    facts = told.facts()
    assert [one["moment"] for one in facts] == ["start", "wave-end", "wave-end", "end"]
    assert {one["run"] for one in facts} == {said[-1]["run"]}
    assert [list(one["hosts"].values()) for one in facts] == [
        ["waiting", "waiting"],
        ["committed", "waiting"],
        ["committed", "committed"],
        ["committed", "committed"],
    ]
    assert [one.get("wave") for one in facts] == [None, 1, 2, None]
    assert (facts[-1]["outcome"], facts[-1]["exit_code"]) == ("done", 0)
    assert all(one["waves"] == [["lab-1"], ["lab-2"]] for one in facts)
    assert told.posted == [("application/json", one) for one in facts]
    assert len(told.facts("late")) == 2
    address = f"hook at 127.0.0.1:{told.server.server_port}: answered 503"
    assert warnings(said) == [f"hook {sys.executable}: not done within 2 s"] * 2 + [address]


@pytest.mark.slow
def test_hooks_are_told_what_failed_and_how_it_ended(pair: Project, told: Told) -> None:
    pair.sh("lab-1", "touch /etc/uplift-test-break")
    every = [{"at": at, **how} for at in MOMENTS for how in (told.run("facts"), told.url)]
    code, _, errors = pair.rollout("--no-gate", "--policy", told.policy(*every), waves="1,1")
    assert code == 3, errors
    facts = told.facts()
    assert [one["moment"] for one in facts] == ["start", "failure", "end"]
    assert facts[1]["reason"] == "change_failed"
    assert "this host is broken" in facts[1]["words"]
    assert facts[1]["hosts"] == {"lab-1": "failed", "lab-2": "waiting"}
    assert (facts[2]["outcome"], facts[2]["exit_code"]) == ("held", 3)
    assert [one for _, one in told.posted] == facts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "does", "words", "code", "versions"),
    [
        ("start", "fail", "exit code 1: nobody has agreed", 1, ["one", "one"]),
        ("wave-end", "late", "not done within 2 s", 3, ["two", "one"]),
    ],
)
def test_a_required_hook_that_fails_or_is_late_stops_the_run(
    pair: Project, told: Told, at: str, does: str, words: str, code: int, versions: list[str]
) -> None:
    required = {"at": at, "timeout": "2s", "required": True, **told.run("asked", does)}
    failure = {"at": "failure", **told.run("facts")}
    file = told.policy(required, failure)
    done, said, errors = pair.rollout("--no-gate", "--policy", file, waves="1,1")
    assert done == code, errors
    assert words in said[-1]["stopped"]
    assert pair.versions() == versions
    assert [one["moment"] for one in told.facts("asked")] == [at]
    assert [words in one["words"] for one in told.facts()] == [True]
    assert pair.locks("held", "taking") == set()
    if at == "wave-end":
        # Whoever is asked agrees now.
        (told.folder / "hook.py").write_text(HOOK.replace('"late"', '"never"'))
        done, _, errors = pair.call("resume", "--json")
        assert done == 0, errors
        assert pair.versions() == ["two", "two"]


@pytest.mark.slow
def test_a_terminal_that_closes_holds_the_run_after_the_hosts_in_progress(pair: Project) -> None:
    pair.sh("lab-1", "touch /etc/uplift-test-slow")
    child = pair.started(*pair.words("--no-gate", waves="1,1"))
    pair.until("intent", "lab-1")
    # Nobody reads any more, and the job of the shell gets the signal.
    for stream in (child.stdout, child.stderr):
        assert stream is not None
        stream.close()
    os.killpg(child.pid, signal.SIGHUP)
    assert child.wait(LIMIT) == 130
    assert pair.versions() == ["two", "one"]
    assert pair.locks("held", "taking") == set()
    (ended,) = [one for one in pair.journal() if one["kind"] == "ended"]
    assert (ended["outcome"], ended["exit_code"]) == ("held", 130)
    code, _, errors = pair.call("resume", "--json")
    assert code == 0, errors
    assert pair.versions() == ["two", "two"]


@pytest.mark.slow
def test_a_run_that_waits_for_approval_is_ended_once_its_process_has_let_it_go(
    pair: Project,
) -> None:
    child = pair.started(*pair.words("--no-gate", "--pause-after", "1", waves="1,1"))
    try:
        pair.until("paused")
        run = pair.journal()[0]["run"]
        code, _, errors = pair.call("abort", "--json")
        assert code == 4
        assert f"carrying out the run {run}: Ctrl-C there holds it" in errors
        # It waits as before.
        assert child.poll() is None
        assert [one["kind"] for one in pair.journal()][-1] == "paused"
    finally:
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=LIMIT)
    assert child.returncode == 130, said
    code, told, errors = pair.call("abort", "--json")
    assert code == 3, errors
    assert told[-1]["outcome"] == "aborted"
    assert [one["step"] for one in told[-1]["hosts"]] == ["committed", "waiting"]
    assert pair.versions() == ["two", "one"]
    assert pair.locks("held", "taking") == set()
    for words in (["approve"], ["resume"]):
        done: subprocess.CompletedProcess[str] = pair.uplift(
            *words, run, check=False, cwd=pair.folder
        )
        assert done.returncode == 64, done.stderr
