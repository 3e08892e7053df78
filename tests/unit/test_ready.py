"""What a rollout looks at on every host before the first of them changes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from uplift.rollout.ready import _LOOK, DISK

ENOUGH = DISK + 1


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Docker's own folder."""
    folder = tmp_path / "docker root"
    folder.mkdir()
    return folder


def looked(bin: Path, disks: dict[str, tuple[int, str]], **commands: str) -> list[str]:
    """Run the script; disks: KiB free and mount point by folder, commands: text by name."""
    bin.mkdir()
    lines = [f"'{folder}') echo 'd 9 9 {kib} 9% {at}';;" for folder, (kib, at) in disks.items()]
    rest = f"*) echo 'd 9 9 {ENOUGH} 9% /';;"
    df = f'echo head; case "$2" in {" ".join([*lines, rest])} esac'
    for name, text in {"df": df, "systemctl": "exit 3", **commands}.items():
        (bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{bin}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["dash", "-c", _LOOK, "uplift", str(DISK)],
        env=environment,
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stderr == ""
    # Who runs the tests need not be able to write where root can.
    return [line for line in done.stdout.splitlines() if "cannot be written" not in line]


def docker(root: Path) -> dict[str, str]:
    """A Docker Engine that runs, and keeps its data in a folder."""
    answer = (
        f'case "$*" in *" info --format {{{{.DockerRootDir}}}}") echo "{root}";; *) exit 1; esac'
    )
    return {"systemctl": "exit 0", "docker": answer}


def test_too_little_disk_for_docker_is_found_where_it_has_a_volume_of_its_own(
    tmp_path: Path, root: Path
) -> None:
    disks = {str(root): (1024 * 100, "/srv/docker")}
    said = [f"{root} has 100 MiB free, 512 are needed"]
    assert looked(tmp_path / "bin", disks, **docker(root)) == said
    assert looked(tmp_path / "roomy", {str(root): (ENOUGH, "/srv")}, **docker(root)) == []


def test_a_full_file_system_that_docker_shares_is_told_once(tmp_path: Path, root: Path) -> None:
    disks = dict.fromkeys(("/var/lib", str(root), "/tmp"), (0, "/"))
    said = ["/var/lib has 0 MiB free, 512 are needed"]
    assert looked(tmp_path / "bin", disks, **docker(root)) == said


def test_a_host_without_docker_or_with_one_that_does_not_answer_is_looked_at_all_the_same(
    tmp_path: Path,
) -> None:
    disks = {"/tmp": (100, "/tmp")}
    said = ["/tmp has 0 MiB free, 1 are needed"]
    broken = {"systemctl": "exit 0", "docker": "echo; echo cannot connect >&2; exit 1"}
    # One that runs is never started by asking for it.
    stopped = {"docker": f"touch '{tmp_path}/asked'"}
    for name, commands in {"none": {}, "broken": broken, "stopped": stopped}.items():
        assert looked(tmp_path / name, disks, **commands) == said
    assert not (tmp_path / "asked").exists()
