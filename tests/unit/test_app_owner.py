"""Who deployed the applications of a host, as its records say it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from uplift.controller import has_inventory, inventory_name
from uplift.spec.app import App
from uplift.spec.app.owner import OWNERS, Owner, parse
from uplift.spec.app.release import RELEASES, Origin, record

DIGEST = "sha256:" + "2" * 64


def owners(folder: Path) -> dict[str, Owner]:
    """Run the script on records in a folder."""
    text = OWNERS.replace(RELEASES, str(folder))
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True)
    return parse(line.split()[1:] for line in done.stdout.splitlines())


def recorded(folder: Path, id: str, outcome: str, inventory: str | None) -> None:
    """Write a record as it is on a host; None: as it was before inventories were in it."""
    origin = Origin("r:5000/c:1", DIGEST, f"ada-{id}@box", inventory=inventory or "")
    block = {"name": "console", "image": "r:5000/c:1", "port": 80, "slot_ports": [9001, 9002]}
    text = record(App.parse(block, path="apps"), origin, id, {})
    if inventory is None:
        text = text.replace(' "inventory": "",\n', "")
    (folder / id).mkdir(parents=True)
    (folder / id / "release.json").write_text(text)
    (folder / id / "outcome").write_text(f"outcome {outcome}\n")


def test_who_deployed_an_application_is_read_from_its_newest_good_release(tmp_path: Path) -> None:
    recorded(tmp_path / "console", "1", "good", "inventories/a.py")
    recorded(tmp_path / "console", "2", "good", "inventories/b.py")
    recorded(tmp_path / "console", "3", "failed", "inventories/c.py")
    recorded(tmp_path / "never", "1", "failed", "inventories/c.py")
    recorded(tmp_path / "old", "1", "good", None)
    assert owners(tmp_path) == {
        "console": Owner("console", "ada-2@box", "inventories/b.py"),
        "old": Owner("old", "ada-1@box", ""),
    }
    assert owners(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("recorded", "there", "elsewhere"),
    [
        ("inventories/console.py", True, True),
        # It was renamed, or it is in a project of somebody else.
        ("inventories/console.py", False, False),
        ("inventories/lab.py", True, False),
        ("", True, False),
    ],
)
def test_an_application_is_of_another_inventory_when_the_project_has_that_one(
    recorded: str, there: bool, elsewhere: bool
) -> None:
    owner = Owner("console", "ada@box", recorded)
    assert owner.elsewhere("inventories/lab.py", lambda name: there) is elsewhere


def test_an_inventory_is_called_by_its_path_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventories").mkdir()
    (tmp_path / "inventories/a.py").touch()
    for name in ("inventories/a.py", "./inventories/a.py", str(tmp_path / "inventories/a.py")):
        assert inventory_name(name) == "inventories/a.py"
    assert has_inventory("inventories/a.py") and not has_inventory("inventories/b.py")
    assert inventory_name("/elsewhere/a.py") == "/elsewhere/a.py"
