"""Tools on a real host: installed once, repaired after each way of damage, for every user."""

from __future__ import annotations

import json
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
NAME = "pycowsay"
BIN = f"/usr/local/bin/{NAME}"
FOLDER = f"/opt/uv-tools/{NAME}"


class Box:
    """A host, and deploys on it."""

    def __init__(self, name: str, folder: Path, pyinfra: Run, ssh: Run) -> None:
        self.name, self._folder, self._pyinfra, self._ssh = name, folder, pyinfra, ssh

    def sh(self, command: str, check: bool = True) -> str:
        """Run a command as the user of the inventory."""
        return str(self._ssh(self.name, command, check).stdout).strip()

    def run(self, *words: str, **tools: Any) -> subprocess.CompletedProcess[str]:
        """Deploy tools."""
        # Named lab.py, so that the group data of the lab holds for it too.
        file = self._folder / "lab.py"
        file.write_text(
            textwrap.dedent(f"""
            from pathlib import Path as _Path
            _lab = {{}}
            exec(_Path("inventories/lab.py").read_text(), _lab)
            _hosts = [*_lab["services"], *_lab["apps"]]
            apps = [(n, {{**d, "tools": {tools!r}}}) for n, d in _hosts if n == {self.name!r}]
            """)
        )
        return self._pyinfra(str(file), "deploys/tools.py", *(words or ("-y",)), check=False)

    def applied(self, *, changed: bool, **tools: Any) -> None:
        """Deploy tools, and compare whether that changed something."""
        done = self.run("-y", "--json", **tools)
        assert done.returncode == 0, done.stdout + done.stderr
        operations = json.loads(done.stdout)["results"]["operations"]
        assert any(one["success"] for one in operations) == changed


@pytest.fixture
def box(hosts: list[dict[str, Any]], pyinfra: Run, ssh: Run, tmp_path: Path) -> Iterator[Box]:
    """The first host, without the tool."""
    name = hosts[0]["name"]
    for part in ("certificates", "uv", "clients"):
        pyinfra("inventories/lab.py", f"deploys/{part}.py", "-y", "--limit", name)
    found = Box(name, tmp_path, pyinfra, ssh)
    gone = f"sudo rm -rf {FOLDER} {BIN}"
    found.sh(gone)
    yield found
    found.sh(gone)


DAMAGE = {
    "its programs are removed": f"sudo rm {BIN}",
    "its Python is gone": f"sudo rm {FOLDER}/bin/python",
    "its package is gone": f"sudo sh -c 'rm -r {FOLDER}/lib/python*/site-packages/{NAME}*'",
    "its folder is emptied": f"sudo sh -c 'rm -r {FOLDER}/*'",
}


def test_a_tool_is_installed_once_for_every_user_repaired_and_upgraded(
    box: Box, uplift: Run, tmp_path: Path
) -> None:
    verify = ("verify", str(tmp_path / "lab.py"), "--tests", "tests/verify/test_tools.py")
    old, new = f"{NAME}==0.0.0.1", f"{NAME}==0.0.0.2"
    box.applied(changed=True, uv=[old], packages=["npm"])
    box.applied(changed=False, uv=[old], packages=["npm"])
    assert "moo" in box.sh(f"sudo runuser -u app -- {BIN} moo")
    uplift(*verify)
    for way, command in DAMAGE.items():
        box.sh(command)
        box.applied(changed=True, uv=[old])
        assert "moo" in box.sh(f"sudo runuser -u app -- {BIN} moo"), way
    dry = box.run("--dry", uv=[new])
    # The control: the settings now say another version than the host has.
    assert uplift(*verify, check=False).returncode == 1
    assert f"tools: {NAME} 0.0.0.1 -> {new}" in dry.stdout + dry.stderr
    box.applied(changed=True, uv=[new])
    box.applied(changed=False, uv=[new])


def test_what_cannot_be_installed_fails_with_the_reason(box: Box) -> None:
    none = box.run(uv=[f"{NAME}==99.0"])
    assert none.returncode != 0
    assert f"there is no version of {NAME}==99.0" in none.stdout + none.stderr
    assert f"tools: uv cannot install {NAME}==99.0" in none.stdout + none.stderr
    missing = box.run(packages=["no-such-package"])
    assert missing.returncode != 0
    assert "tools: cannot install no-such-package" in missing.stdout + missing.stderr
    # A name that one package alone provides: apt takes it, and installs that one.
    provided = box.sh(
        "dpkg-query -W -f '${Provides}' perl-base | grep -o 'perlapi-[0-9.]*' | tail -1"
    )
    virtual = box.run(packages=[provided])
    assert virtual.returncode != 0
    assert f"tools: {provided} is no package of its own" in virtual.stdout + virtual.stderr


def test_a_program_that_somebody_else_put_there_stays(box: Box) -> None:
    box.sh(f"echo theirs | sudo tee {BIN} >/dev/null; sudo chmod 755 {BIN}")
    done = box.run(uv=[f"{NAME}==0.0.0.2"])
    assert done.returncode != 0
    assert "already exists" in done.stdout + done.stderr
    assert box.sh(f"cat {BIN}") == "theirs"
