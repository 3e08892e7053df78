"""``uplift verify``: exit codes, table and JSON of a whole run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import verify_double

from uplift.cli.main import run
from uplift.remote.inventory import InventoryHost
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.verify import run as verify_run
from uplift.verify.connection import Connections

INVENTORY = "inventories/prod.py"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    verify_double.make(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    unused = ("hypothesispytest", "cacheprovider", "typeguard")
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-pno:{name}" for name in unused))
    monkeypatch.setenv("COLUMNS", "120")
    write(tmp_path, "uv", "def test_it(host): pass")
    yield tmp_path
    verify_double.remove()


def write(project: Path, subject: str, text: str) -> None:
    file = project / "tests" / "verify" / f"test_{subject}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


WAITS = """
import pathlib, sys, time
pathlib.Path(sys.argv[1]).touch()
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        if sys.argv[2] == "ends":
            sys.exit(2)
"""


@pytest.mark.parametrize(("how", "code"), [("ends", 2), ("stays", -signal.SIGKILL)])
def test_an_interrupt_that_pytest_did_not_get_is_passed_on_and_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, code: int
) -> None:
    monkeypatch.setattr(verify_run, "CLEAN_UP_LIMIT", 0.5)
    ready = tmp_path / "ready"
    child = subprocess.Popen([sys.executable, "-c", WAITS, str(ready), how])
    limit = time.monotonic() + 20
    while not ready.exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    verify_run._end(child)
    assert child.wait(20) == code


def test_no_index_is_asked_again_and_again() -> None:
    suite = (Path(__file__).parents[1] / "verify" / "test_clients.py").read_text()
    for client in ("{clients.UV_BRIEFLY} uv pip install", "pip download {clients.PIP_BRIEFLY}"):
        assert client in suite
    assert "npm view {clients.NPM_BRIEFLY}" in suite


def test_all_passed_is_0_with_a_table_and_each_warning_once_for_all_its_hosts(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(project, "uv", "def test_it(host, warn): warn('look at this')")
    write(project, "certificates", "import pytest\ndef test_it(host): pytest.skip('none listed')")
    assert run(["verify", INVENTORY, "--limit", "web-1", "--limit", "builders"]) == Exit.DONE
    out = capfd.readouterr().out
    header, rows = out.splitlines()[1], out.splitlines()
    assert header.split()[1::2] == ["host", "certificates", "uv"]
    assert any("web-1" in row and "1 skip" in row and "1 ✔" in row for row in rows)
    assert "skipped certificates: none listed (build-1, web-1)" in rows
    assert "warning uv: look at this (build-1, web-1)" in rows
    assert rows[-1] == "2 hosts: 2 passed, 0 failed, 2 skipped, 0 unreachable"


def test_a_failure_is_1_and_shown_shortened(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(project, "uv", "def test_it(host):\n    assert 0, 'bad\\n' + 'line\\n' * 30 + 'end'")
    assert run(["verify", INVENTORY, "--limit", "web-1"]) == Exit.FAILED
    out = capfd.readouterr().out
    assert "FAILED web-1 uv: test_it[web-1]" in out
    assert "AssertionError: bad" in out
    assert out.count("line") < 10


def test_wrong_settings_are_64_and_said_once_before_any_test(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project / "group_data"
    folder.mkdir(exist_ok=True)
    (folder / "all.py").write_text("uv = {'verison': '0.13.8'}\n")
    assert run(["verify", INVENTORY]) == Exit.USAGE
    err = capfd.readouterr().err
    assert err.count("group_data/all.py: uv.verison: unknown key, did you mean 'version'?") == 1
    assert "ERROR" not in err


def test_an_unreachable_host_is_3_and_has_its_row(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", INVENTORY]) == Exit.HELD
    out = capfd.readouterr().out
    assert "unreachable web-2: ssh: connect to host 192.0.2.2: No route to host" in out
    assert out.splitlines()[-1] == "3 hosts: 2 passed, 0 failed, 0 skipped, 1 unreachable"


def test_a_changed_host_key_has_its_row_and_its_remedy(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ssh = project / "bin" / "ssh"
    said = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @"
    ssh.write_text(f"#!/bin/sh\necho '{said}' >&2; exit 255\n")
    assert run(["verify", INVENTORY, "--limit", "web-2"]) == Exit.HELD
    out = " ".join(capfd.readouterr().out.split())
    assert "web-2 │ unreachable" in out
    assert "Compare the fingerprints" in out
    assert "uplift doctor" in out


def test_json_is_all_that_stands_on_stdout(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", INVENTORY, "--json", "--junit", "junit.xml", "-v"]) == Exit.HELD
    captured = capfd.readouterr()
    document = json.loads(captured.out)
    assert document["exit_code"] == Exit.HELD
    assert [host["reachable"] for host in document["hosts"]] == [True, False, True]
    assert "test_it[web-1] PASSED" in captured.err
    assert "web-1" in (project / "junit.xml").read_text()


COUNTS = """
import pytest
from pathlib import Path

@pytest.fixture(scope="module")
def read(host):
    with Path("reads").open("a") as file:
        print(host.backend.hostname, file=file)

def test_a(read): pass
def test_b(read): pass
"""


def test_what_a_module_reads_of_a_host_is_read_once_also_by_several_processes(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(project, "uv", COUNTS)
    write(project, "docker", "def test_c(host): pass")
    assert run(["verify", INVENTORY, "-n", "2", "--json"]) == Exit.HELD
    document = json.loads(capfd.readouterr().out)
    counts = {one["name"]: one["subjects"] for one in document["hosts"]}
    assert counts["web-1"]["uv"]["passed"] == 2
    assert sorted((project / "reads").read_text().split()) == ["build-1", "web-1"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["inventories/prd.py"], "no inventory file inventories/prd.py"),
        ([INVENTORY, "--limit", "nope"], "--limit 'nope' selects no host"),
        ([INVENTORY, "-k", "nope", "--limit", "web-1"], "no test matches -k 'nope'"),
        ([INVENTORY, "--tests", "nope"], "there are no tests in nope"),
    ],
)
def test_wrong_usage_is_64_and_says_why(
    project: Path, capfd: pytest.CaptureFixture[str], args: list[str], text: str
) -> None:
    assert run(["verify", *args]) == Exit.USAGE
    captured = capfd.readouterr()
    assert f"uplift: {text}" in captured.err.replace(f"{INVENTORY}: ", "")
    assert captured.out == ""


def test_markers_that_leave_no_test_are_an_error(project: Path) -> None:
    write(project, "uv", "import pytest\n@pytest.mark.hosts('builders')\ndef test_it(host): pass")
    assert run(["verify", INVENTORY, "--limit", "web-1"]) == Exit.USAGE


def test_a_test_file_that_does_not_load_is_shown(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(project, "uv", "import no_such_module_here")
    assert run(["verify", INVENTORY, "--limit", "web-1"]) == Exit.FAILED
    assert "no_such_module_here" in capfd.readouterr().err


def test_tests_that_hang_are_ended_when_their_time_is_over(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_run, "CLEAN_UP_LIMIT", 0.5)
    write(project, "uv", "import time\ntime.sleep(60)")
    log = project / "log"
    request = verify_run.Request(INVENTORY, limit=("web-1",), log=log, time_limit=0.1)
    with pytest.raises(UpliftError, match=rf"not done within 0\.1 s: {log}"):
        verify_run.run(request)


def test_a_test_that_hangs_is_named_with_its_host_when_the_time_is_over(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, limit = project / "begun", 0.1

    class Slow(subprocess.Popen[bytes]):
        """The time begins with the test, however long pytest needs to start."""

        def wait(self, timeout: float | None = None) -> int:
            while timeout == limit and not begun.exists() and self.poll() is None:
                time.sleep(0.05)
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Slow)
    monkeypatch.setattr(verify_run, "CLEAN_UP_LIMIT", 0.5)
    test = f"def test_it(host): pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"
    write(project, "uv", f"import pathlib, time\n{test}")
    log = project / "log"
    request = verify_run.Request(INVENTORY, limit=("web-1",), log=log, time_limit=limit)
    where = r"in tests/verify/test_uv\.py::test_it\[web-1\]"
    with pytest.raises(UpliftError, match=rf"not done within 0\.1 s, {where}: {log}"):
        verify_run.run(request)


def test_a_machine_without_ssh_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="apt-get install openssh-client"):
        Connections.prepare([InventoryHost("web-1", (), {})], tmp_path)
