"""A project with an inventory whose hosts are played by an ssh command on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Logs one line a call, has no way to one of the hosts, hears nothing from another, and runs
# commands of the rest here.
SSH = """#!/bin/sh
echo "$@" >> "$UPLIFT_FAKE_LOG"
for last; do :; done
case "$*" in
*" -O exit "*) exit 0 ;;
*192.0.2.4*) exec sleep 60 ;;
*192.0.2.2*) echo "ssh: connect to host 192.0.2.2: No route to host" >&2; exit 255 ;;
esac
exec sh -c "$last"
"""
INVENTORY = """
apps = [("web-1", {"ssh_hostname": "192.0.2.1"}), ("web-2", {"ssh_hostname": "192.0.2.2"})]
builders = [("build-1", {"ssh_hostname": "192.0.2.3", "colour": "blue"})]
"""


def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the project in a folder and put its ssh first on the path."""
    for name in ("bin", "inventories"):
        (folder / name).mkdir()
    ssh = folder / "bin" / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:/usr/bin:/bin")
    monkeypatch.setenv("UPLIFT_FAKE_LOG", str(folder / "ssh.log"))
    # A short path: a socket's may not be longer than 107 characters.
    monkeypatch.setenv("TMPDIR", tempfile.mkdtemp(prefix="up-"))
    (folder / "inventories" / "prod.py").write_text(INVENTORY)


def left_behind() -> list[Path]:
    """Return the folders for connections that are there."""
    return list(Path(os.environ["TMPDIR"]).glob("uplift-*"))


def remove() -> None:
    """Remove what :func:`make` has made outside the folder."""
    shutil.rmtree(os.environ["TMPDIR"])


def ssh_calls(folder: Path) -> list[str]:
    """Return the arguments of each call of ssh."""
    log = folder / "ssh.log"
    return log.read_text().splitlines() if log.exists() else []
