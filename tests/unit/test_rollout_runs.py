"""Runs on the controller's disk: journals, hooks, approvals, and what a run is made of."""

from __future__ import annotations

import json
import resource
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from uplift.cli.main import run
from uplift.cli.watching import watch
from uplift.controller import person
from uplift.remote.inventory import InventoryHost, select
from uplift.rollout import hooks, inputs, waves
from uplift.rollout.approval import approve
from uplift.rollout.engine import Engine
from uplift.rollout.gate import Gate
from uplift.rollout.inputs import fingerprint
from uplift.rollout.journal import (
    Journal,
    RunsElsewhereError,
    UnwrittenError,
    all_runs,
    found,
    read,
)
from uplift.rollout.run import abort
from uplift.rollout.stop import Stop
from uplift.secrets.providers import variable
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.rollout.policy import Hook, Policy
from uplift.spec.secret import secret
from uplift.verify.run import Request, Verdict

REQUEST = {"waves": [["h1"], ["h2"]], "inventory": "i.py", "deploys": ["d.py"], "actor": "me"}


def quiet(record: Mapping[str, Any]) -> None:
    """Listen to nothing."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_what_was_written_is_read_again(root: Path) -> None:
    told: list[Mapping[str, Any]] = []
    with Journal.begin(REQUEST, told.append, root) as journal:
        journal.write("locked", token=3)
        journal.write("intent", host="h1")
    assert read(journal.folder).hosts == {"h1": "intent", "h2": "waiting"}
    assert [record["kind"] for record in told] == ["begun", "locked", "intent"]
    assert [run.id for run in all_runs(root)[0]] == [journal.folder.name]


def test_a_step_of_many_hosts_waits_for_the_disk_once_and_is_told_when_it_is_there(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int]] = []
    synced: list[int] = []

    def tell(record: Mapping[str, Any]) -> None:
        told.append((record.get("host", ""), len(synced)))

    with Journal.begin(REQUEST, tell, root) as journal:
        monkeypatch.setattr("os.fsync", synced.append)
        journal.write_each("intent", ["h1", "h2"])
    assert told == [("", 0), ("h1", 1), ("h2", 1)]
    assert read(journal.folder).hosts == {"h1": "intent", "h2": "intent"}


def test_a_journal_is_its_owners_alone(root: Path) -> None:
    with Journal.begin(REQUEST, quiet, root) as journal:
        modes = [
            path.stat().st_mode & 0o777 for path in (journal.folder, *journal.folder.iterdir())
        ]
    assert modes == [0o700, 0o600]


def test_half_a_line_of_a_killed_run_is_dropped_and_the_run_goes_on(root: Path) -> None:
    with Journal.begin(REQUEST, quiet, root) as journal:
        journal.write("intent", host="h1")
    file = journal.folder / "journal.jsonl"
    file.write_bytes(file.read_bytes() + b'{"kind":"done","host":"h')
    with Journal.open(journal.folder.name, quiet, root) as again:
        assert again.run.hosts["h1"] == "intent"
        again.write("done", host="h1")
    assert [json.loads(line)["kind"] for line in file.read_text().splitlines()] == [
        "begun",
        "intent",
        "done",
    ]


def test_a_run_that_was_killed_before_its_first_record_has_nothing_to_go_on_with(
    root: Path,
) -> None:
    with Journal.begin(REQUEST, quiet, root) as journal:
        pass
    file = journal.folder / "journal.jsonl"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(UsageError, match="killed before it had begun, and nothing was touched"):
        Journal.open("last", quiet, root)
    assert all_runs(root) == ([], [])


def test_the_last_run_to_go_on_with_is_none_that_was_refused_while_another_one_was_at_work(
    root: Path,
) -> None:
    with Journal.begin(REQUEST, quiet, root) as held:
        pass
    later = root / "29990101T000000Z-0000"
    with Journal.begin(REQUEST, quiet, root) as refused:
        refused.write("ended", outcome="refused", exit_code=4, words="locked")
    refused.folder.rename(later)
    with Journal.open("last", quiet, root) as journal:
        assert journal.folder == held.folder
    assert found("last", root) == later
    # Where there is no other, people are told that it was refused.
    (held.folder / "journal.jsonl").unlink()
    with Journal.open("last", quiet, root) as journal:
        assert journal.run.outcome == "refused"


def test_what_a_run_needs_is_there_before_it_has_begun(root: Path) -> None:
    there: list[str] = []

    def told(record: Mapping[str, Any]) -> None:
        there.append((root / record["run"] / "plan.json").read_text())

    with Journal.begin(REQUEST, told, root, files={"plan.json": "{}"}) as journal:
        assert there == ["{}"]
    assert (journal.folder / "plan.json").stat().st_mode & 0o777 == 0o600


def test_a_record_that_does_not_fit_on_the_disk_stops_the_run_and_leaves_no_half_line(
    root: Path,
) -> None:
    with Journal.begin(REQUEST, quiet, root) as journal:
        size = (journal.folder / "journal.jsonl").stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        # As on a full disk, a part of the line is taken.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
        try:
            with pytest.raises(UnwrittenError, match=r"journal\.jsonl: File too large"):
                journal.write("intent", host="h1")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert journal.run.hosts["h1"] == "waiting"
        journal.write("locked", token=1)
    assert read(journal.folder).token == 1


def test_one_process_at_a_time_has_a_run(root: Path) -> None:
    with (
        Journal.begin(REQUEST, quiet, root) as journal,
        pytest.raises(RunsElsewhereError, match=journal.folder.name),
    ):
        Journal.open(journal.folder.name, quiet, root)


def test_a_record_of_an_unknown_kind_is_never_written(root: Path) -> None:
    with Journal.begin(REQUEST, quiet, root) as journal, pytest.raises(Exception, match="jumped"):
        journal.write("jumped")  # type: ignore[arg-type]
    assert read(journal.folder).id


def test_a_run_is_found_by_its_beginning_and_as_the_last(root: Path) -> None:
    for _ in range(2):
        Journal.begin(REQUEST, quiet, root).__exit__(None, None, None)
    last = max(path.name for path in root.iterdir())
    assert found("last", root).name == last
    assert found(last, root).name == last
    with pytest.raises(UsageError, match="the beginning of 2 runs"):
        found(last[:4], root)
    with pytest.raises(UsageError, match=f"Did you mean {last}"):
        found(f"{last[:-1]}x", root)


def test_without_any_run_the_error_says_where_was_looked(root: Path) -> None:
    with pytest.raises(UsageError, match="no run is recorded in"):
        found("last", root)


def test_a_broken_journal_names_its_file(root: Path) -> None:
    with Journal.begin(REQUEST, quiet, root) as journal:
        pass
    (journal.folder / "journal.jsonl").write_text("nonsense\n")
    with pytest.raises(UpliftError, match=r"journal\.jsonl"):
        read(journal.folder)


def test_only_a_run_that_waits_can_be_approved(root: Path) -> None:
    with Journal.begin(REQUEST, quiet, root) as journal:
        journal.write("wave", wave=1)
        with pytest.raises(UsageError, match="does not wait"):
            approve("last", root)
        journal.write("paused", wave=1)
        assert approve("last", root) == (journal.folder.name, 1)
        assert (journal.folder / "approved-1").read_text().strip()


def test_an_approval_is_told_as_json_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Journal.begin(REQUEST, quiet) as journal:
        journal.write("wave", wave=1)
        journal.write("paused", wave=1)
    assert run(["approve", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"run": journal.folder.name, "wave": 1, "by": person()}


def engine(journal: Journal, policy: Policy, **others: Any) -> Engine:
    """The engine of a run without any host that is reached."""
    nobody: Any = SimpleNamespace(unreachable={})
    lock = SimpleNamespace(**{"shell": "sh"})
    parts = {"hosts": {}, "fleet": nobody, "lock": lock, "interrupts": None, **others}
    return Engine(journal, policy, tell=quiet, **parts)


def test_hosts_that_failed_in_an_earlier_attempt_cost_no_budget_before_they_are_tried_again(
    root: Path,
) -> None:
    with Journal.begin(REQUEST, quiet, root) as journal:
        journal.write("failed", host="h1", words="no space", changed=[])
        journal.write("failed", host="h2", words="no space", changed=[])
        one = engine(journal, Policy.parse({"budget": {"change_failed": 1}}, path="rollout"))
        with pytest.raises(Stop, match="h1: no space; h2: no space"):
            waves._spend(one)
        journal.write("resumed", by="me")
        journal.write("done", host="h1", changed=[])
        waves._spend(one)
        journal.write("failed", host="h2", words="no space", changed=[])
        waves._spend(one)


def test_a_process_that_takes_a_run_keeps_what_the_one_before_wrote_last(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Journal.begin(REQUEST, quiet, root)

    def ended(*given: Any) -> None:
        # The other process ends just before its lock is asked for.
        monkeypatch.undo()
        first.write("ended", outcome="done", exit_code=0)
        first.__exit__(None, None, None)

    monkeypatch.setattr("uplift.rollout.journal.fcntl.flock", ended)
    with Journal.open("last", quiet, root) as second:
        assert second.run.outcome == "done"
    assert read(first.folder).outcome == "done"


def test_the_history_tells_of_the_runs_beside_a_journal_that_cannot_be_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root.parent)
    good, broken = (Journal.begin(REQUEST, quiet, Path(".uplift/runs")) for _ in range(2))
    for one, text in ((broken, "[]\n"), (good, None)):
        one.__exit__(None, None, None)
        if text:
            (one.folder / "journal.jsonl").write_text(text)
    assert run(["history", "--json"]) == 1
    output, errors = capsys.readouterr()
    assert [one["run"] for one in json.loads(output)] == [good.folder.name]
    assert f"{broken.folder.name}/journal.jsonl" in errors


def test_the_gate_tests_the_hosts_of_the_wave_and_no_group_that_is_called_like_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        InventoryHost("web", ("all",)),
        InventoryHost("web-1", ("web",)),
        InventoryHost("a[1]", ("web",)),
        InventoryHost("@local", ("web",)),
    ]
    tested: list[list[str]] = []

    def tests(request: Request) -> Verdict:
        tested.append([host.name for host in select(found, request.limit, "i.py")])
        return Verdict({"hosts": []}, Exit.DONE)

    monkeypatch.setattr("uplift.rollout.gate.run", tests)
    gate = Gate("i.py", ["tests"], tmp_path / "gate")
    for names in (["web"], ["a[1]", "@local"]):
        gate.failures(names, "wave-1-before")
    assert tested == [["web"], ["a[1]", "@local"]]


def program(tmp_path: Path, text: str) -> tuple[str, ...]:
    """A hook that runs Python."""
    file = tmp_path / "hook.py"
    file.write_text(text)
    return sys.executable, str(file)


def test_a_hook_reads_the_facts_as_json(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    run = program(tmp_path, f"import sys; open({str(seen)!r}, 'w').write(sys.stdin.read())")
    problems: list[str] = []
    told = [Hook(at="end", run=run), Hook(at="start", run=("/nonexistent",))]
    hooks.call(told, "end", {"run": "r1"}, problems.append)
    assert json.loads(seen.read_text()) == {"moment": "end", "run": "r1"}
    assert problems == []


@pytest.mark.parametrize(
    ("text", "limit", "reason"),
    [
        (r"import sys; sys.stderr.buffer.write(b'\xff!'); sys.exit(2)", 30, "exit code 2: \ufffd!"),
        ("import sys; sys.exit('no ticket')", 30, "exit code 1: no ticket"),
        ("import time; time.sleep(60)", 1, "not done within 1 s"),
    ],
)
def test_a_hook_that_fails_is_told_of_and_stops_only_where_it_is_required(
    tmp_path: Path, text: str, limit: int, reason: str
) -> None:
    run = program(tmp_path, text)
    problems: list[str] = []
    hooks.call([Hook(at="start", run=run, timeout=limit)], "start", {}, problems.append)
    assert reason in problems[0]
    with pytest.raises(hooks.HookError, match=reason):
        hooks.call(
            [Hook(at="start", run=run, timeout=limit, required=True)], "start", {}, problems.append
        )


def test_what_a_late_hook_has_begun_is_ended_with_it(tmp_path: Path) -> None:
    began = tmp_path / "began"
    # As a script in which a program hangs.
    run = ("sh", "-c", f"sleep 60 & echo $! >{began}; wait")
    problems: list[str] = []
    hooks.call([Hook(at="end", run=run, timeout=1)], "end", {}, problems.append)
    assert "not done within 1 s" in problems[0]
    end = time.monotonic() + 10
    # A container may leave it as a zombie for a while.
    state = Path(f"/proc/{began.read_text().strip()}/stat")
    while state.exists() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[bytes]]]:
    """Something that hooks can speak to: what it answers is in the path, what it heard a list."""
    heard: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(int(self.path.rpartition("/")[2]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *given: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", heard
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("code", "said"), [(204, ""), (500, "answered 500")])
def test_a_hook_at_a_secret_address_is_posted_the_facts_and_shows_the_host_alone(
    code: int,
    said: str,
    address: tuple[str, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    host, heard = address
    token = secrets.token_hex(16)
    monkeypatch.setenv(variable("hooks/team"), f"http://me:{token}@{host}/{token}/{code}")
    problems: list[str] = []
    hook = Hook.parse({"at": "end", "url": secret("hooks/team")}, path="hook")
    hooks.call([hook], "end", {"run": "r1"}, problems.append)
    assert [json.loads(one) for one in heard] == [{"moment": "end", "run": "r1"}]
    assert problems == ([f"hook at {host}: {said}"] if said else [])


@pytest.mark.parametrize("value", [None, "team", "ftp://canary", "https://[canary"])
def test_a_secret_address_that_is_missing_or_none_is_refused_before_the_start(
    value: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    if value:
        monkeypatch.setenv(variable("hooks/team"), value)
    hook = Hook.parse({"at": "end", "url": secret("hooks/team")}, path="hook")
    with pytest.raises(UsageError, match="hooks/team") as refused:
        hooks.check([hook])
    assert "canary" not in str(refused.value)
    problems: list[str] = []
    hooks.call([hook], "end", {}, problems.append)
    assert "hooks/team" in problems[0]


def test_a_program_that_is_not_there_is_refused_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hook = Hook.parse({"at": "end", "run": ["./tell"]}, path="hook")
    with pytest.raises(UsageError, match=r"hook \./tell: there is no such program"):
        hooks.check([hook])
    (tmp_path / "tell").touch(0o755)
    hooks.check([hook])


def test_of_a_plain_address_of_a_hook_no_output_shows_more_than_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = [{"at": "end", "url": "http://127.0.0.1:9/services/canary"}]
    policy = Policy.parse({"hooks": told}, path="rollout")
    request = {**REQUEST, "policy": policy.model_dump(mode="json")}
    with watch(want_json=True) as seen, Journal.begin(request, seen.tell) as journal:
        problems: list[str] = []
        hooks.call(policy.hooks, "end", {}, problems.append)
    assert problems == ["hook at 127.0.0.1:9: ConnectionError"]
    assert run(["show", "--json"]) == 0
    output = capsys.readouterr().out
    assert output.count("http://127.0.0.1:9/...") == 2
    assert "canary" not in output
    # A run that is resumed still knows it.
    assert Policy.parse(journal.run.request["policy"], path="policy") == policy


def test_the_hash_of_a_run_follows_deploys_settings_and_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("deploys", "group_data", "inventories"):
        Path(folder).mkdir()
        Path(folder, "a.py").write_text("x = 1\n")
    first = fingerprint("inventories/a.py", ["deploys/a.py"], {})
    assert fingerprint("inventories/a.py", ["deploys/a.py"], {}) == first
    assert fingerprint("inventories/a.py", ["deploys/a.py"], {"to": "1"}) != first
    Path("group_data/__pycache__").mkdir()
    Path("group_data/__pycache__/a.pyc").write_text("other")
    assert fingerprint("inventories/a.py", ["deploys/a.py"], {}) == first
    Path("group_data/a.py").write_text("x = 2\n")
    assert fingerprint("inventories/a.py", ["deploys/a.py"], {}) != first


def test_the_hash_of_a_run_follows_the_code_of_uplift_also_of_another_checkout_of_a_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copies = [tmp_path / "one", tmp_path / "two"]
    for copy in copies:
        shutil.copytree(inputs.CODE, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def seen(code: Path) -> str:
        monkeypatch.setattr(inputs, "CODE", code)
        return fingerprint("i.py", ["d.py"], {})

    assert seen(inputs.CODE) == seen(copies[0]) == seen(copies[1])
    # What Python and editors leave beside the code is none.
    for name in ("__pycache__/plan.cpython-313.pyc", ".plan.py.swp", "operations/uv.py~"):
        (copies[1] / name).parent.mkdir(exist_ok=True)
        (copies[1] / name).write_text("other")
    assert seen(copies[0]) == seen(copies[1])
    source = copies[1] / "operations/uv.py"
    source.write_text(source.read_text() + "\n")
    assert seen(copies[0]) != seen(copies[1])


@pytest.mark.parametrize("there", [["gone.invalid"], []], ids=["lost", "taken out"])
def test_a_run_is_ended_though_none_of_its_hosts_can_be_asked(
    there: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = [InventoryHost(name) for name in there]
    monkeypatch.setattr("uplift.rollout.run.inventories.hosts", lambda inventory, limit: found)
    policy = Policy().model_dump(mode="json")
    request = {**REQUEST, "waves": [["gone.invalid"]], "policy": policy, "limit": []}
    with Journal.begin(request, quiet) as journal:
        journal.write("intent", host="gone.invalid")
    result = abort("last", quiet, put_back=False)
    assert result.exit_code == 3
    assert "gone.invalid: " in result.stopped and "60 s after" in result.stopped
    assert read(journal.folder).over
    with pytest.raises(UsageError, match="has ended"):
        abort("last", quiet, put_back=False)
