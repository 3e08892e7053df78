"""A real Nexus, and secrets that must show nowhere while it is configured."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.leaks import PLANTED, Watch, Words, within
from tests.lab.nexus_box import FIRST, NAME, PROJECT, RECORD, Deploy, Shell, Start
from tests.lab.nexus_wanted import BLOCK, VALUES

from uplift.secrets.files import FOLDER
from uplift.secrets.providers import LAB_FILE, Lab
from uplift.spec.secret import Secret

pytest_plugins = ["tests.lab.nexus_box"]
# Minutes of start and of writes.
pytestmark = pytest.mark.slow


@pytest.fixture
def kept() -> Iterator[dict[str, str]]:
    """Secrets in the file of the lab's own, by name: in no variable of any process."""
    path = PROJECT / FOLDER / LAB_FILE
    before = path.read_bytes() if path.exists() else None
    some = f"test-{secrets.token_hex(4)}"
    lab = Lab(PROJECT)
    for name, value in VALUES.items():
        lab.put(f"{some}/{name.lower()}", Secret(value))
    yield {f"n/{name.lower()}": f"{some}/{name.lower()}" for name in VALUES}
    path.unlink() if before is None else path.write_bytes(before)


def from_the_lab(block: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return settings with references to secrets of the lab."""

    def changed(it: dict[str, Any]) -> dict[str, Any]:
        return {"secret": names[it["secret"]], "generate": True} if "secret" in it else it

    found: dict[str, Any] = json.loads(json.dumps(block), object_hook=changed)
    return found


@pytest.fixture
def first(shell: Shell, start: Start) -> str:
    """The first password of an empty server."""
    start("3.30.0")
    return shell(f"until cat {FIRST} 2>/dev/null; do sleep 1; done")


def test_no_secret_shows_on_the_host_or_on_the_controller_while_nexus_is_configured(
    first: str,
    kept: dict[str, str],
    deploy: Deploy,
    shell: Shell,
    hosts: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    words = Words({**VALUES, "first password": first})
    folder = tmp_path / "temporary"
    folder.mkdir(mode=0o755)
    block = from_the_lab(BLOCK, kept)
    with Watch(hosts[:1], words, [folder, PROJECT]) as watch:
        done = deploy(block, "-vvv", "--debug", variables={"TMPDIR": str(folder)})
        again = deploy(block, variables={"TMPDIR": str(folder)})
    assert done.code == 0, done.output
    assert (again.code, again.writes) == (0, []), again.output
    places = {
        "output": done.output + again.output,
        "journal": shell("journalctl -o cat --no-pager --since -15min"),
        "record": shell(f"cat {RECORD}"),
        "docker": shell("docker inspect $(docker ps -aq)"),
    }
    assert watch.leaks() == []
    # The positive controls: what is no secret is found by the same scans, in each place.
    assert within(words, places) == [f"journal: {PLANTED}"]
    assert "nexus: user admin: password set" in places["output"]
    assert "pypi-public" in places["record"]
    assert NAME in places["docker"]
