"""uv on a real host: installed, switched, drifted by hand, killed in the middle, refused."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.conftest import cases

PROJECT = Path(__file__).parents[2]
OLD, NEW = "0.13.7", "0.13.8"
TREE = "sudo find /opt/uv /usr/local/bin -printf '%p %y %m %U %l %s %T@\\n' | sort"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def box(hosts: list[dict[str, Any]]) -> str:
    """The host of these tests."""
    return str(hosts[-1]["name"])


@pytest.fixture(scope="module", autouse=True)
def site_again(pyinfra: Run, box: str) -> Iterator[None]:
    """Trust the controller's extra CAs before, and leave the host as the lab wants it."""
    pyinfra("inventories/lab.py", "deploys/certificates.py", "-y", "--limit", box)
    yield
    pyinfra("inventories/lab.py", "deploys/uv.py", "-y", "--limit", box)


@pytest.fixture
def shell(ssh: Run, box: str) -> Callable[..., str]:
    """Run a command on the host as root and return what it prints."""
    return lambda command: ssh(box, f"sudo sh -c {_quote(command)}").stdout.strip()


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


def words(box: str, **block: Any) -> list[str]:
    """Return pyinfra's words for a deploy of uv with these settings."""
    data = f"uv={json.dumps(block)}"
    return ["inventories/lab.py", "deploys/uv.py", "-y", "--json", "--limit", box, "--data", data]


@pytest.fixture
def deploy(pyinfra: Run, box: str) -> Callable[..., bool]:
    """Deploy a version and return whether that changed anything."""

    def run(version: str, **block: Any) -> bool:
        done = pyinfra(*words(box, version=version, **block))
        (operation,) = json.loads(done.stdout)["results"]["operations"]
        return operation["no_change"] == []

    return run


@pytest.fixture
def refused(pyinfra: Run, box: str) -> Callable[..., str]:
    """Deploy a version that must fail and return what pyinfra says."""

    def run(version: str, **block: Any) -> str:
        done = pyinfra(*words(box, version=version, **block), check=False)
        assert done.returncode != 0, done.stderr
        return done.stderr

    return run


Deploy = Callable[..., bool]
Shell = Callable[[str], str]


@pytest.fixture
def bare(shell: Shell) -> None:
    """A host that never had uv."""
    shell("rm -rf /opt/uv /usr/local/bin/uv /usr/local/bin/uvx")


@pytest.fixture
def installed(deploy: Deploy, shell: Shell) -> None:
    """A host with the new version."""
    if shell("uv self version --short || true") != NEW:
        deploy(NEW)


def test_an_installation_runs_and_a_second_run_changes_nothing(
    bare: None, deploy: Deploy, shell: Shell, ssh: Run, box: str
) -> None:
    assert deploy(NEW)
    for user in ("deploy", "root"):
        said = ssh(box, f"sudo -u {user} sh -c 'uv self version --short; uvx --version'").stdout
        assert said.split()[:3] == [NEW, "uvx", NEW]
    paths = f"/opt/uv /opt/uv/{NEW} /opt/uv/{NEW}/uv /opt/uv/{NEW}/uvx"
    assert set(shell(f"stat -c '%a %U:%G' {paths}").split("\n")) == {"755 root:root"}
    before = shell(TREE)
    assert not deploy(NEW)
    assert shell(TREE) == before


def test_a_dry_run_writes_nothing(bare: None, pyinfra: Run, shell: Shell, box: str) -> None:
    before = shell("ls -A /opt /usr/local/bin")
    dry = [word for word in words(box, version=NEW) if word != "-y"]
    plan = json.loads(pyinfra(*dry, "--dry").stdout)["plan"]
    assert plan[0]["hosts_with_change"] == [box]
    assert shell("ls -A /opt /usr/local/bin") == before


def test_upgrade_and_downgrade_switch_one_link_and_download_once(
    bare: None, deploy: Deploy, shell: Shell
) -> None:
    assert deploy(OLD)
    links = shell("stat -c '%i' /usr/local/bin/uv /usr/local/bin/uvx")
    assert deploy(NEW)
    assert shell("uv self version --short; uvx --version | cut -d' ' -f2").split() == [NEW, NEW]
    binary = shell(f"stat -c '%i %y' /opt/uv/{OLD}/uv")
    assert deploy(OLD)
    assert shell("uv self version --short; uvx --version | cut -d' ' -f2").split() == [OLD, OLD]
    # The old version was still there: nothing was written but the link `current`.
    assert shell(f"stat -c '%i %y' /opt/uv/{OLD}/uv") == binary
    assert shell("stat -c '%i' /usr/local/bin/uv /usr/local/bin/uvx") == links


def test_a_switch_is_never_seen_half_done(bare: None, deploy: Deploy, shell: Shell) -> None:
    deploy(OLD)
    watch = (
        "rm -f /tmp/stop; (i=0; while [ ! -e /tmp/stop ] && [ $i -lt 6000 ]; do i=$((i+1)); "
        "/usr/local/bin/uv self version --short || echo broken; sleep 0.01; done "
        ">/tmp/seen 2>&1) "
        "</dev/null >/dev/null 2>&1 &"
    )
    shell(watch)
    for version in (NEW, OLD):
        deploy(version)
    shell("touch /tmp/stop; sleep 1")
    assert set(shell("sort -u /tmp/seen").split("\n")) == {OLD, NEW}


def test_no_more_versions_are_kept_than_wanted(bare: None, deploy: Deploy, shell: Shell) -> None:
    deploy(OLD)
    deploy(NEW)
    assert shell("ls /opt/uv").split() == [OLD, NEW, "current"]
    assert deploy(NEW, keep=0)
    assert shell("ls -A /opt/uv").split() == [NEW, "current"]
    assert not deploy(NEW, keep=0)


# What a person does by hand, in groups that do not hide each other.
DRIFTS = {
    "modes and owners": (
        f"chmod 0700 /opt/uv/{NEW}/uv; chown deploy /opt/uv/{NEW}; chmod 0777 /opt/uv; "
        # What a killed run leaves.
        f"mkdir /opt/uv/.{NEW}.tmp-a; ln -s x /usr/local/bin/uv.uplift-tmp"
    ),
    "damaged binaries": (
        f"printf x | dd of=/opt/uv/{NEW}/uv bs=1 seek=1000 conv=notrunc; : >/opt/uv/{NEW}/uvx; "
        "ln -sfn 0.0.1 /opt/uv/current"
    ),
    "others in place of binaries": (
        f"ln -sf /bin/true /opt/uv/{NEW}/uvx; rm /opt/uv/{NEW}/uv; mkdir /opt/uv/{NEW}/uv; "
        "rm /opt/uv/current; mkdir /opt/uv/current"
    ),
    "a file in place of a version": (
        f"rm -r /opt/uv/{NEW}; echo x >/opt/uv/{NEW}; rm /opt/uv/current /usr/local/bin/uv*"
    ),
    "nothing": "rm -r /opt/uv",
}


@pytest.mark.parametrize("drift", cases(DRIFTS, "damaged binaries", "nothing"))
def test_drift_is_repaired_by_one_run_and_the_next_changes_nothing(
    installed: None, deploy: Deploy, shell: Shell, drift: str
) -> None:
    shell(drift)
    assert deploy(NEW)
    assert shell("uv self version --short; uvx --version | cut -d' ' -f2").split() == [NEW, NEW]
    assert not deploy(NEW)
    assert "tmp" not in shell("ls -A /opt/uv /usr/local/bin")


@pytest.mark.parametrize(
    ("foreign", "kept"),
    [
        ("rm -f $uv; printf '#!/bin/sh\\necho mine\\n' >$uv; chmod 0755 $uv", "mine"),
        ("printf '#!/bin/sh\\necho else\\n' >/opt/x; chmod 0755 /opt/x; ln -sf /opt/x $uv", "else"),
    ],
    ids=["file", "link"],
)
def test_another_uv_in_the_way_is_kept_aside(
    installed: None, deploy: Deploy, shell: Shell, foreign: str, kept: str
) -> None:
    shell("rm -rf /opt/uv/displaced")
    for _ in range(2):
        shell(f"uv=/usr/local/bin/uv; {foreign}")
        assert shell("uv") == kept
        assert deploy(NEW)
        assert shell("uv self version --short") == NEW
    # The same thing twice is kept once.
    assert shell("for file in /opt/uv/displaced/*; do $file; done") == kept
    assert not deploy(NEW)


def test_a_folder_in_the_way_is_kept_aside(installed: None, deploy: Deploy, shell: Shell) -> None:
    shell(
        "rm -rf /opt/uv/displaced /usr/local/bin/uv; mkdir /usr/local/bin/uv; "
        "touch /usr/local/bin/uv/file"
    )
    assert deploy(NEW)
    assert shell("uv self version --short; ls /opt/uv/displaced/*").split() == [NEW, "file"]


def test_a_host_without_curl_gets_the_wheel_from_the_controller(
    bare: None, deploy: Deploy, shell: Shell
) -> None:
    shell("chmod -x /usr/bin/curl")
    try:
        assert deploy(NEW)
        assert shell("uv self version --short") == NEW
        assert not deploy(NEW)
    finally:
        shell("chmod +x /usr/bin/curl")


@pytest.fixture
def false_curl(shell: Shell) -> Iterator[Callable[[str], None]]:
    """Put a curl before the real one: the range request goes through, a download does this."""

    def put(download: str) -> None:
        script = (
            '#!/bin/sh\\ncase "$*" in *--range*) exec /usr/bin/curl "$@" ;; esac\\n'
            f"for last do :; done\\n{download}\\n"
        )
        shell(f"printf '{script}' >/usr/local/sbin/curl; chmod 0755 /usr/local/sbin/curl")

    yield put
    shell("rm -f /usr/local/sbin/curl")


def test_a_download_that_a_proxy_garbled_is_refused_and_the_old_uv_stays(
    bare: None,
    deploy: Deploy,
    refused: Callable[..., str],
    shell: Shell,
    false_curl: Callable[[str], None],
) -> None:
    deploy(OLD)
    before = shell(TREE)
    false_curl('echo "<html>please log in</html>" >"$last"')
    said = refused(NEW)
    assert re.search(r"the wheel has sha256 [0-9a-f]{64}, wanted is [0-9a-f]{64}", said)
    after = shell(TREE)
    without_time = [re.sub(r" \S+$", "", line) for line in after.splitlines() if "sbin" not in line]
    assert without_time == [re.sub(r" \S+$", "", line) for line in before.splitlines()]
    assert shell("uv self version --short") == OLD


def test_a_hash_in_the_settings_that_is_not_the_indexs_is_refused_with_both(
    installed: None, refused: Callable[..., str], shell: Shell
) -> None:
    before = shell(TREE)
    said = refused(OLD, sha256={"x86_64": "ab" * 32})
    assert "ab" * 32 in said
    assert "offered by the index: " in said
    assert shell(TREE) == before


def test_too_little_disk_is_told_before_anything_is_written(
    bare: None, refused: Callable[..., str], shell: Shell
) -> None:
    shell("mkdir /opt/uv; mount -t tmpfs -o size=40m tmpfs /opt/uv")
    try:
        assert re.search(r"/opt/uv needs \d+ MB while this runs, \d+ MB are free", refused(NEW))
        assert shell("ls -A /opt/uv /usr/local/bin") == "/opt/uv:\n\n/usr/local/bin:"
    finally:
        shell("umount /opt/uv; rmdir /opt/uv")


# Where pyinfra is killed: what the host then waits for to be there.
POINTS = {
    "before the change": "true",
    "folder": f"ls -d /opt/uv/.{OLD}.tmp-*",
    "wheel": f"test -s /opt/uv/.{OLD}.tmp-*/wheel",
    "binary": f"test -s /opt/uv/.{OLD}.tmp-*/new/uv",
    "switch": f"test -e /opt/uv/{OLD}",
}


# Every point once; all ways in which to die at each of them are for `scripts/test crash`.
KILLS = [
    *(
        pytest.param(POINTS[point], number % 2 == 0, number % 3 != 0, id=f"quick-{point}")
        for number, point in enumerate(POINTS)
    ),
    *(
        pytest.param(
            POINTS[point],
            sent,
            host_dies,
            id=f"{point}-{sent}-{host_dies}",
            marks=pytest.mark.crash,
        )
        for point in POINTS
        for sent in (False, True)
        for host_dies in (False, True)
    ),
]


@pytest.mark.parametrize(("point", "sent", "host_dies"), KILLS)
def test_a_kill_leaves_no_half_written_file_and_the_next_run_completes(
    installed: None,
    deploy: Deploy,
    shell: Shell,
    environment: dict[str, str],
    box: str,
    point: str,
    sent: bool,
    host_dies: bool,
) -> None:
    shell(f"rm -rf /opt/uv/{OLD}; chmod {'-' if sent else '+'}x /usr/bin/curl")
    try:
        _kill_at(point, host_dies, words(box, version=OLD), environment, shell)
        assert shell("uv self version --short") in (OLD, NEW)
        deploy(OLD)
    finally:
        shell("chmod +x /usr/bin/curl")
    assert shell("uv self version --short; uvx --version | cut -d' ' -f2").split() == [OLD, OLD]
    assert "tmp" not in shell("ls -A /opt/uv /usr/local/bin")
    assert deploy(NEW)


def _kill_at(
    point: str, host_dies: bool, words: list[str], environment: dict[str, str], shell: Shell
) -> None:
    """Start pyinfra and kill it with -9 when a command on the host succeeds.

    The script on the host dies just before when it shall; before the change there is none.
    """
    die = "pkill -9 -f [i]nstall_version || [ $i = 0 ] || exit 1; " if host_dies else ""
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "pyinfra"), *words],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        said = shell(
            f"i=0; until {point} >/dev/null 2>&1; do i=$((i+1)); "
            f"[ $i -lt 3000 ] || exit 0; sleep 0.01; done; {die}echo reached"
        )
        assert said == "reached", "the host never came to this point"
        assert process.poll() is None, "pyinfra had ended before it was killed"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
