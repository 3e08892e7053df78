"""No Docker, a killed Docker, and limits of the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from uplift.cli.main import run
from uplift.lab import engine, machine
from uplift.lab.report import silent
from uplift.spec.errors import Exit, UpliftError, UsageError


@pytest.fixture
def no_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    address = f"unix://{tmp_path}/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.chdir(tmp_path)
    return address


@pytest.mark.parametrize(
    "words", [["up"], ["up", "--yes"], ["status", "--all"], ["down"], ["image"], ["image", "host"]]
)
def test_no_docker_says_what_to_do_and_leaves_nothing_behind(
    no_docker: str, words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["lab", *words]) == Exit.FAILED
    said = capsys.readouterr().err
    assert f"no Docker Engine answers at {no_docker}" in said
    assert f"DOCKER_HOST is set to {no_docker}: unset it" in said
    assert "--yes" not in said
    assert "Connection aborted" not in said
    assert list(tmp_path.iterdir()) == []


def test_no_docker_at_the_usual_address_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr("uplift.lab.engine.SOCKET", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(UpliftError, match="uplift lab up --yes"):
        engine.connect()


class NoDocker:
    """An Engine that holds nothing of any lab but a network of the lab `mine`."""

    def __init__(self) -> None:
        self.networks = self.containers = self.volumes = self
        self.attrs = {"Labels": {"io.uplift.lab": "mine"}}

    def list(self, *, filters: dict[str, str], **_: object) -> list[NoDocker]:
        return [self] if filters["label"] == "io.uplift.lab" else []

    @property
    def labels(self) -> dict[str, str]:
        return self.attrs["Labels"]


def test_a_lab_that_is_not_there_is_not_removed_with_success(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("uplift.lab.engine.connect", NoDocker)
    assert run(["lab", "down", "mien"]) == Exit.USAGE
    said = " ".join(capsys.readouterr().err.split())
    assert "no lab 'mien' on this machine. Did you mean 'mine'? There are: mine" in said
    monkeypatch.setenv("UPLIFT_LAB", "mien")
    assert run(["lab", "down"]) == Exit.DONE


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:2375", "ssh://192.0.2.1"])
def test_an_engine_on_another_machine_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(UsageError, match="needs a Docker Engine on this machine"):
        engine.ensure(silent, yes=True)


def test_an_engine_that_this_user_may_not_use_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(**_: object) -> None:
        raise engine.DockerException("Error: PermissionError(13, 'Permission denied')")

    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr("uplift.lab.engine.docker.DockerClient", refused)
    with pytest.raises(UpliftError, match="may not use Docker") as error:
        engine.connect()
    assert "usermod" in str(error.value)


@pytest.fixture
def programs(no_docker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is searched for programs first; no Docker, and we may install it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr("uplift.lab.engine._may_install", lambda: True)
    monkeypatch.setattr("uplift.lab.engine._SYSTEMD", tmp_path)
    for limit in ("START_LIMIT", "APT_LIMIT", "QUESTION_LIMIT", "SYSTEMD_LIMIT"):
        monkeypatch.setattr(f"uplift.lab.engine.{limit}", 1)
    return folder


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


HANGS = "exec sleep 60"


@pytest.mark.parametrize(
    ("found", "call", "advice"),
    [
        ({"apt-get": HANGS}, "apt-get -q update", "dpkg --configure -a"),
        ({"apt-get": ":", "apt-cache": HANGS}, "apt-cache show docker-cli", "dpkg --configure -a"),
        (
            {"apt-get": '[ "$2" = update ] || exec sleep 60', "apt-cache": "exit 1"},
            "apt-get -q install -y --no-install-recommends docker.io",
            "dpkg --configure -a",
        ),
        ({"dockerd": ":", "systemctl": HANGS}, "systemctl start docker", "journalctl -u docker"),
    ],
)
def test_a_program_that_does_not_end_is_named_with_what_to_do(
    programs: Path,
    found: dict[str, str],
    call: str,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    have = "dockerd" if "dockerd" in found else None
    monkeypatch.setattr("uplift.lab.engine.shutil.which", lambda _: have)
    for name, text in found.items():
        program(programs, name, text)
    with pytest.raises(UpliftError) as caught:
        engine.ensure(silent, yes=True)
    assert f"`{call}` did not end within 1 s" in str(caught.value)
    assert advice in str(caught.value)


def test_a_program_that_fails_is_shown_with_its_last_words(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uplift.lab.engine.shutil.which", lambda _: None)
    program(programs, "apt-get", "echo no space >&2; exit 100")
    with pytest.raises(UpliftError, match="`apt-get -q update` failed:\nno space"):
        engine.ensure(silent, yes=True)


def test_a_unit_that_does_not_start_is_shown_with_the_reason(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(programs, "systemctl", "echo Unit docker.service is masked. >&2; exit 1")
    monkeypatch.setattr("uplift.lab.engine.shutil.which", lambda _: "dockerd")
    with pytest.raises(UpliftError, match=r"failed:\nUnit docker.service is masked\.") as caught:
        engine.ensure(silent, yes=True)
    assert "journalctl -u docker" in str(caught.value)


def alive(tmp_path: Path, name: str) -> subprocess.Popen[bytes]:
    """Start a process whose command is called ``name``."""
    program = tmp_path / name
    shutil.copy("/bin/sleep", program)
    process = subprocess.Popen([program, "60"])
    limit = time.monotonic() + 10
    while Path(f"/proc/{process.pid}/comm").read_text().strip() != name:
        assert time.monotonic() < limit
        time.sleep(0.01)
    return process


def test_pid_files_of_a_killed_daemon_are_removed_and_those_of_a_living_one_kept(
    tmp_path: Path,
) -> None:
    daemon, foreign = alive(tmp_path, "dockerd"), alive(tmp_path, "somebody")
    ended = subprocess.Popen(["/bin/true"])
    ended.wait(timeout=10)
    pid, inner = tmp_path / "docker.pid", tmp_path / "docker/containerd/containerd.pid"
    inner.parent.mkdir(parents=True)
    try:
        for left in (ended.pid, foreign.pid, os.getpid(), "", "x"):
            pid.write_text(f"{left}\n")
            inner.write_text(f"{left}")
            engine.clear_leftovers(tmp_path)
            assert (pid.exists(), inner.exists()) == (False, False), left
        pid.write_text(str(daemon.pid))
        engine.clear_leftovers(tmp_path)
        assert pid.exists()
        daemon.kill()
        os.waitid(os.P_PID, daemon.pid, os.WEXITED | os.WNOWAIT)  # a zombie: nobody collects it
        engine.clear_leftovers(tmp_path)
        assert not pid.exists()
    finally:
        for process in (daemon, foreign):
            process.kill()
            process.wait(timeout=10)


def test_a_daemon_is_started_in_a_session_of_its_own_with_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    process = engine.start_daemon(["/bin/sh", "-c", "ps -o sid= -p $$; exec >&2; echo done"], log)
    assert process.wait(timeout=10) == 0
    first, session, last = log.read_text().split()
    assert (first, int(session), last) == ("before", process.pid, "done")


def test_a_daemon_that_ends_at_once_is_not_waited_for(no_docker: str, tmp_path: Path) -> None:
    process = engine.start_daemon(["/bin/false"], tmp_path / "log")
    with pytest.raises(UpliftError, match="ended at once with exit code 1: see it"):
        engine.wait_for(process, "see it")


def test_limits_are_raised_once_and_only_by_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "max_user_instances"
    file.write_text("128\n")
    monkeypatch.setattr("uplift.lab.machine.os.geteuid", lambda: 1000)
    assert machine.raise_limits(silent, file) == []
    assert "allows 128 inotify instances" in machine.advice(file)
    monkeypatch.setattr("uplift.lab.machine.os.geteuid", lambda: 0)
    assert machine.raise_limits(silent, file) == [
        "fs.inotify.max_user_instances: 128 raised to 1024, until the next boot"
    ]
    assert (file.read_text(), machine.advice(file)) == ("1024\n", "")
    assert machine.raise_limits(silent, file) == []


def test_a_machine_without_the_limit_needs_no_advice(tmp_path: Path) -> None:
    assert machine.advice(tmp_path / "missing") == ""
