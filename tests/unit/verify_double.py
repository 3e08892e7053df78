"""A project with an inventory whose hosts are played by an ssh command on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

# Logs one line a call, has no way to one of the hosts, and runs commands here.
SSH = """#!/bin/sh
echo "$@" >> "$UPLIFT_FAKE_LOG"
for last; do :; done
case "$*" in
*" -O exit "*) exit 0 ;;
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
    for name in ("bin", "tmp", "inventories"):
        (folder / name).mkdir()
    ssh = folder / "bin" / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:/usr/bin:/bin")
    monkeypatch.setenv("UPLIFT_FAKE_LOG", str(folder / "ssh.log"))
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    (folder / "inventories" / "prod.py").write_text(INVENTORY)


def ssh_calls(folder: Path) -> list[str]:
    """Return the arguments of each call of ssh."""
    log = folder / "ssh.log"
    return log.read_text().splitlines() if log.exists() else []
