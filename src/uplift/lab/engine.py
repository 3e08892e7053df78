"""The local Docker Engine: reach it, and where asked to, install and start it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import docker
from docker import DockerClient
from docker.errors import DockerException
from requests import RequestException

from uplift.lab.report import Report
from uplift.spec.errors import UpliftError, UsageError

SOCKET = "unix:///var/run/docker.sock"
ANSWER_LIMIT = 180  # seconds
START_LIMIT = 60
APT_LIMIT = 900
QUESTION_LIMIT = 60
SYSTEMD_LIMIT = 120
LOG = Path("/var/log/uplift-dockerd.log")
_MEND_APT = (
    "Run it by hand to see why (`dpkg --configure -a` first, when it was installing), "
    "then `uplift lab up` again."
)
_MEND_UNIT = (
    "See `systemctl status docker` and `journalctl -u docker`; when Docker runs, "
    "`uplift lab up` again."
)
_RUN = Path("/var/run")
_SYSTEMD = Path("/run/systemd/system")


def connect(timeout: float = ANSWER_LIMIT) -> DockerClient:
    """Return a client of the local Docker Engine.

    Args:
        timeout: seconds without a byte after which a call is given up.

    Raises:
        UpliftError: no Engine answers; the text says what to do.
        UsageError: ``DOCKER_HOST`` names an Engine on another machine.
    """
    address = _address()
    try:
        client = docker.DockerClient(base_url=address, version="auto", timeout=int(timeout))
        client.ping()
    except (DockerException, RequestException) as error:
        raise UpliftError(_advice(address, error)) from error
    return client


def _address() -> str:
    address = os.environ.get("DOCKER_HOST") or SOCKET
    if not address.startswith("unix://"):
        raise UsageError(
            f"DOCKER_HOST is {address}: the lab needs a Docker Engine on this machine (unix://…), "
            "because its hosts are reached on loopback addresses"
        )
    return address


def _advice(address: str, error: Exception) -> str:
    if "Permission denied" in str(error) or "PermissionError" in str(error):
        return (
            f"this user may not use Docker at {address}.\n"
            "Run as root, or `sudo usermod -aG docker $USER` and log in again."
        )
    if address != SOCKET:
        return (
            f"no Docker Engine answers at {address}.\n"
            f"DOCKER_HOST is set to {address}: unset it to use the usual one ({SOCKET}),\n"
            "or start the Engine that it names."
        )
    return (
        f"no Docker Engine answers at {address}.\n"
        "Start it (`sudo systemctl start docker`), or install it "
        "(Debian: `sudo apt-get install docker.io`),\n"
        "or run `uplift lab up --yes` as root on Debian, which does both."
    )


def ensure(report: Report, *, yes: bool) -> DockerClient:
    """Return a client of the local Engine; with ``yes`` install and start what is missing.

    Args:
        report: told what is done.
        yes: the user agreed that Debian's package is installed and the daemon started.
    """
    try:
        return connect()
    except UsageError:
        raise
    except UpliftError:
        if not yes or not _may_install():
            raise
    if shutil.which("dockerd") is None:
        _install(report)
    return _started(report)


def _may_install() -> bool:
    """Say whether Docker can be installed here: root on Debian, at the usual address."""
    debian = Path("/etc/debian_version").exists() and sys.platform == "linux"
    return debian and os.geteuid() == 0 and _address() == SOCKET


def _install(report: Report) -> None:
    report("installing Debian's docker.io")
    _apt("update")
    packages = ["docker.io"]
    # From Debian 13 on the client and BuildKit's front end are packages of their own.
    for extra in ("docker-cli", "docker-buildx"):
        asked = _run(["apt-cache", "show", extra], QUESTION_LIMIT, _MEND_APT)
        if asked.returncode == 0:
            packages.append(extra)
    _apt("install", "-y", "--no-install-recommends", *packages)


def _apt(*words: str) -> None:
    done = _run(["apt-get", "-q", *words], APT_LIMIT, _MEND_APT)
    if done.returncode != 0:
        raise UpliftError(_failed(done))


def _run(command: list[str], limit: int, advice: str) -> subprocess.CompletedProcess[str]:
    """Run a program without input, and say what to do when it does not end."""
    try:
        return subprocess.run(
            command,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired as error:
        shown = " ".join(command)
        raise UpliftError(f"`{shown}` did not end within {limit} s.\n{advice}") from error


def _failed(done: subprocess.CompletedProcess[str]) -> str:
    tail = "\n".join(done.stdout.splitlines()[-10:])
    return f"`{' '.join(done.args)}` failed:\n{tail}"


def _started(report: Report) -> DockerClient:
    """Start the daemon, unless the package's installation just did."""
    try:
        return connect()
    except UpliftError:
        report("starting the Docker daemon")
    if _SYSTEMD.exists():
        done = _run(["systemctl", "start", "docker"], SYSTEMD_LIMIT, _MEND_UNIT)
        if done.returncode != 0:
            raise UpliftError(f"{_failed(done)}\n{_MEND_UNIT}")
        return wait_for(None, "see `journalctl -u docker`")
    clear_leftovers(_RUN)
    return wait_for(start_daemon(["dockerd"], LOG), f"see {LOG}")


def clear_leftovers(run: Path) -> None:
    """Remove pid files of a daemon that was killed; they would keep a new one from starting.

    Args:
        run: the folder ``/var/run``.
    """
    for file, command in (
        (run / "docker.pid", "dockerd"),
        (run / "docker/containerd/containerd.pid", "containerd"),
    ):
        if file.exists() and not _runs(file.read_text().strip(), command):
            file.unlink(missing_ok=True)


def _runs(pid: str, command: str) -> bool:
    """Say whether a process lives and is that command, not another one with its old number.

    A killed daemon stays a zombie for ever where process 1 does not collect its children.
    """
    if not pid.isdigit():
        return False
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return found["Name"] == command and not found["State"].startswith("Z")


def start_daemon(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a daemon in the background, in a session of its own, so that it outlives us.

    Args:
        command: the daemon and its arguments.
        log: file that its output is added to.
    """
    with log.open("ab") as output:
        return _detached(command, output)


def _detached(command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd="/",
    )


def wait_for(daemon: subprocess.Popen[bytes] | None, where: str) -> DockerClient:
    """Wait until the daemon answers.

    Args:
        daemon: its process, when it is ours.
        where: how to see what it says, for the error text.

    Raises:
        UpliftError: it ended, or did not answer within the time limit.
    """
    limit = time.monotonic() + START_LIMIT
    while True:
        try:
            return connect()
        except UpliftError:
            if daemon is not None and daemon.poll() is not None:
                code = daemon.returncode
                raise UpliftError(f"dockerd ended at once with exit code {code}: {where}") from None
            if time.monotonic() > limit:
                raise UpliftError(
                    f"the Docker daemon did not answer within {START_LIMIT} s: {where}"
                ) from None
        time.sleep(0.5)
