"""Jobs that outlive the connection that started them."""

from __future__ import annotations

import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.lab.conftest import cases, ssh_words

from uplift.operations import job

Run = Callable[..., subprocess.CompletedProcess[str]]
# Says so at once, then takes its time.
SLOW = "echo begin; : >/run/uplift-test-begun; sleep 5; echo end; exit 3\n"


@pytest.fixture(params=cases({"13": "host", "12": "host:bookworm"}, "13"))
def host(request: pytest.FixtureRequest, hosts: list[dict[str, Any]], ssh: Run) -> dict[str, Any]:
    """A host of each supported Debian on which no earlier test's job is known."""
    wanted = [host for host in hosts if host["kind"] == request.param]
    if not wanted:
        pytest.skip("the lab has no host of Debian 12: uplift lab up --debian12")
    found = wanted[-1]
    # Quoted for root's shell: nobody else may look into the folder.
    clean = "rm -rf /run/uplift-test-begun /var/lib/uplift/jobs/test-*"
    ssh(found["name"], f"sudo sh -c {shlex.quote(clean)}")
    return found


def start(host: dict[str, Any], id: str, script: str, limit: int = 60) -> subprocess.Popen[str]:
    """Start a job as pyinfra would, in an ssh of its own."""
    command = job.start(id, script, limit=limit)
    process = subprocess.Popen(
        [*ssh_words(host), f"sudo {command.get_raw_value()}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write(script)
    process.stdin.close()
    process.stdin = None
    return process


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return the exit code, the job's own output, and the last line, which is the caller's."""
    out, err = process.communicate(timeout=90)
    assert err == ""
    *lines, last = out.splitlines(keepends=True)
    return process.returncode, "".join(lines), last


def wait_for(host: dict[str, Any], ssh: Run, command: str) -> None:
    for _ in range(100):
        if ssh(host["name"], command, False).returncode == 0:
            return
        time.sleep(0.1)
    pytest.fail(f"never true: {command}")


def found_in_jobs(host: dict[str, Any], ssh: Run, word: str) -> str:
    """Name the files of jobs that hold a word."""
    done = ssh(host["name"], f"sudo grep -rlw {word} /var/lib/uplift/jobs", False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_its_output_comes_while_it_runs(host: dict[str, Any], ssh: Run) -> None:
    # It ends only once somebody has read its first line.
    script = "echo begin; until [ -e /run/uplift-test-begun ]; do sleep 0.1; done; echo end\n"
    process = start(host, "test-followed", script)
    assert process.stdout and process.stdout.readline() == "begin\n"
    ssh(host["name"], "sudo touch /run/uplift-test-begun")
    assert finish(process)[:2] == (0, "end\n")


def test_a_job_returns_its_log_and_exit_code(host: dict[str, Any]) -> None:
    script = "echo one; echo two >&2; exit 7\n"
    assert finish(start(host, "test-plain", script)) == (
        7,
        "one\ntwo\n",
        "uplift: job test-plain: exit code 7\n",
    )


def test_a_job_goes_on_without_its_connection_and_the_next_call_gets_its_result(
    host: dict[str, Any], ssh: Run
) -> None:
    first = start(host, "test-cut", SLOW)
    wait_for(host, ssh, "test -e /run/uplift-test-begun")
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=30)
    assert finish(start(host, "test-cut", SLOW))[:2] == (3, "begin\nend\n")


def test_a_result_that_nobody_fetched_is_given_once_and_the_next_call_runs_anew(
    host: dict[str, Any], ssh: Run
) -> None:
    script = "echo run >>/run/uplift-test-begun; sleep 1; cat /run/uplift-test-begun\n"
    first = start(host, "test-once", script)
    wait_for(host, ssh, "test -e /run/uplift-test-begun")
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=30)
    wait_for(host, ssh, "sudo test -e /var/lib/uplift/jobs/test-once/rc")
    assert finish(start(host, "test-once", script))[:2] == (0, "run\n")
    assert finish(start(host, "test-once", script))[:2] == (0, "run\nrun\n")


def test_two_callers_at_once_share_one_job(host: dict[str, Any]) -> None:
    script = "echo run >>/run/uplift-test-begun; sleep 2; cat /run/uplift-test-begun\n"
    one, two = (start(host, "test-both", script) for _ in range(2))
    assert [finish(one)[:2], finish(two)[:2]] == [(0, "run\n")] * 2


def test_a_killed_job_is_said_to_have_ended_without_a_result(
    host: dict[str, Any], ssh: Run
) -> None:
    word = secrets.token_hex(16)
    process = start(host, "test-killed", f"# {word}\n{SLOW}")
    wait_for(host, ssh, "test -e /run/uplift-test-begun")
    ssh(host["name"], "sudo systemctl kill -s KILL uplift-test-killed")
    code, out, last = finish(process)
    assert (code, out) == (job.DIED, "begin\n")
    assert "test-killed ended without a result" in last
    # It may hold secrets, and nothing of the job is left that could remove it.
    assert found_in_jobs(host, ssh, word) == ""
    assert "test-killed/log" in found_in_jobs(host, ssh, "begin")
    assert finish(start(host, "test-killed", "echo again\n"))[:2] == (0, "again\n")


def test_a_job_is_stopped_at_its_time_limit(host: dict[str, Any]) -> None:
    code, out, _ = finish(start(host, "test-slow", "echo begin; sleep 100\n", limit=2))
    assert code == 143
    assert "the job was stopped: time limit" in out


def test_a_jobs_script_is_in_no_process_list_and_in_no_file_while_it_runs(
    host: dict[str, Any], ssh: Run
) -> None:
    word = secrets.token_hex(16)
    process = start(host, "test-hidden", f"# {word}\n{SLOW}")
    wait_for(host, ssh, "test -e /run/uplift-test-begun")
    seen = ssh(host["name"], "ps axww -o args").stdout
    # The positive control: the job's own processes are in that list.
    assert "uplift-test-hidden" in seen
    assert word not in seen
    assert found_in_jobs(host, ssh, word) == ""
    assert finish(process)[:2] == (3, "begin\nend\n")
    assert found_in_jobs(host, ssh, word) == ""


def test_half_a_script_is_not_run(host: dict[str, Any], ssh: Run) -> None:
    half = "echo run >>/run/uplift-test-begun\n"
    whole = f"{half}cat /run/uplift-test-begun\n"
    process = subprocess.Popen(
        [*ssh_words(host), f"sudo {job.start('test-half', whole).get_raw_value()}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(half, timeout=90)
    assert (process.returncode, out, err) == (74, "", "uplift: half a script came\n")
    assert ssh(host["name"], "sudo test -e /var/lib/uplift/jobs/test-half", False).returncode == 1
    assert finish(start(host, "test-half", whole))[:2] == (0, "run\n")


def test_what_a_job_starts_does_not_inherit_its_script(host: dict[str, Any]) -> None:
    code, out, _ = finish(start(host, "test-files", "ls -l /proc/self/fd\n"))
    assert code == 0
    assert "test-files/log" in out
    assert "script" not in out
    assert "(deleted)" not in out


def test_a_long_script_is_run_to_its_end(host: dict[str, Any]) -> None:
    count = 20_000
    script = "x=0\n" + "x=$((x + 1))  # a line\n" * count + "echo $x; cat\n"
    assert finish(start(host, "test-long", script))[:2] == (0, f"{count}\n")


def test_a_script_that_a_crash_of_the_host_left_is_removed_by_the_next_job(
    host: dict[str, Any], ssh: Run
) -> None:
    word, folder = secrets.token_hex(16), "/var/lib/uplift/jobs/test-left"
    ssh(host["name"], f"sudo sh -c 'mkdir -p {folder}; echo {word} >{folder}/script'")
    ssh(host["name"], f"sudo touch -d '2 hours ago' {folder}/script")
    assert f"{folder}/script" in found_in_jobs(host, ssh, word)
    finish(start(host, "test-next", "echo next\n"))
    assert found_in_jobs(host, ssh, word) == ""
