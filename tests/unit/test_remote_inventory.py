"""Which hosts an inventory gives, asked of the real pyinfra in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from uplift.remote import inventory
from uplift.remote.inventory import InventoryHost
from uplift.spec.errors import UsageError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inventories").mkdir()
    (tmp_path / "group_data").mkdir()
    (tmp_path / "inventories" / "prod.py").write_text(
        'apps = [("a-1", {"ssh_port": 2222}), "a-2"]\nbuilders = ["b-1", "a-2"]\n'
    )
    (tmp_path / "group_data" / "all.py").write_text('uv = {"version": "1.2.3"}\n_sudo = True\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(found: list[InventoryHost]) -> list[str]:
    return [host.name for host in found]


GROUPS = {
    "a-1": ["apps", "prod"],
    "a-2": ["apps", "builders", "prod"],
    "b-1": ["builders", "prod"],
}
# What pyinfra tells of the project's inventory, whatever the limit.
EVERY = [InventoryHost(name, tuple(groups)) for name, groups in GROUPS.items()]


def test_hosts_come_with_groups_and_merged_data(project: Path) -> None:
    found = {host.name: host for host in inventory.hosts("inventories/prod.py")}
    assert {name: sorted(one.groups) for name, one in found.items()} == GROUPS
    assert list(found) == list(GROUPS)
    assert found["a-1"].data == {"uv": {"version": "1.2.3"}, "_sudo": True, "ssh_port": 2222}


def test_asking_an_inventory_imports_neither_pyinfras_command_line_nor_gevent(
    project: Path,
) -> None:
    code = (
        "import sys; from uplift.remote import inventory; inventory.hosts('inventories/prod.py');"
        "print([name for name in ('pyinfra_cli', 'gevent') if name in sys.modules])"
    )
    # A process of its own: other tests of this one have imported both.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (("apps",), ["a-1", "a-2"]),
        (("b-1",), ["b-1"]),
        (("a-*",), ["a-1", "a-2"]),
        (("b-1", "a-1"), ["a-1", "b-1"]),
        (("prod",), ["a-1", "a-2", "b-1"]),
    ],
)
def test_limit_selects_as_pyinfra_does(limit: tuple[str, ...], expected: list[str]) -> None:
    assert names(inventory.select(EVERY, limit, "inventories/prod.py")) == expected


@pytest.mark.parametrize("limit", [("nope",), ("apps", "nope"), ("all",), ("app",)])
def test_a_limit_that_selects_nothing_is_refused(limit: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=f"--limit '{limit[-1]}' selects no host"):
        inventory.select(EVERY, limit, "inventories/prod.py")


def test_a_near_miss_of_a_group_is_offered() -> None:
    with pytest.raises(UsageError, match="Did you mean 'builders'"):
        inventory.select(EVERY, ("bilders",), "inventories/prod.py")


def test_hosts_that_pyinfra_gives_are_limited(project: Path) -> None:
    assert names(inventory.hosts("inventories/prod.py", ("b-1", "a-1"))) == ["a-1", "b-1"]


def test_a_mistyped_file_is_refused_with_a_near_miss(project: Path) -> None:
    with pytest.raises(UsageError, match=r"Did you mean inventories/prod\.py"):
        inventory.hosts("inventories/prd.py")


def test_a_folder_is_refused(project: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        inventory.hosts("inventories")


def test_a_word_that_is_neither_file_nor_host_is_refused(project: Path) -> None:
    with pytest.raises(UsageError, match="no hosts in this inventory"):
        inventory.hosts("no-such-host.invalid")


def test_an_inventory_without_hosts_is_refused(project: Path) -> None:
    (project / "inventories" / "empty.py").write_text("apps = []\n")
    with pytest.raises(UsageError, match="no hosts in this inventory"):
        inventory.hosts("inventories/empty.py")


def test_an_inventory_that_raises_is_refused_with_its_error(project: Path) -> None:
    (project / "inventories" / "prod.py").write_text("raise ValueError('the lab is down')\n")
    with pytest.raises(UsageError, match="the lab is down"):
        inventory.hosts("inventories/prod.py")


def test_what_config_py_says_when_it_refuses_is_passed_on(project: Path) -> None:
    (project / "config.py").write_text(
        "import sys\nsys.stderr.write('uplift: uv.version: is required\\n')\nsys.exit(64)\n"
    )
    with pytest.raises(UsageError) as refused:
        inventory.hosts("inventories/prod.py")
    assert str(refused.value) == "uv.version: is required"


def test_config_py_sees_the_limit(project: Path) -> None:
    (project / "config.py").write_text(
        "import sys\nif 'b-1' in sys.argv: sys.exit('limit was seen')\n"
    )
    with pytest.raises(UsageError, match="limit was seen"):
        inventory.hosts("inventories/prod.py", ("b-1",))


def test_a_print_in_the_inventory_does_no_harm(project: Path) -> None:
    with (project / "inventories" / "prod.py").open("a") as file:
        file.write("print('[1, 2]')\n")
    assert names(inventory.hosts("inventories/prod.py")) == ["a-1", "a-2", "b-1"]


def test_an_inventory_that_hangs_is_given_up(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, limit = project / "begun", 0.5

    class Slow(subprocess.Popen[str]):
        """The time begins with the inventory, however long pyinfra needs to start."""

        def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[str, str]:
            while timeout == limit and not begun.exists() and self.poll() is None:
                time.sleep(0.05)
            return super().communicate(input, timeout)

    monkeypatch.setattr(subprocess, "Popen", Slow)
    hangs = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(60)\n"
    (project / "inventories" / "prod.py").write_text(hangs)
    said = r"inventories/prod\.py: pyinfra did not load this inventory within 0\.5 s"
    with pytest.raises(UsageError, match=said):
        inventory.hosts("inventories/prod.py", time_limit=limit)
    assert begun.exists()


def test_a_host_never_shows_its_data() -> None:
    host = InventoryHost("a", ("g",), {"ssh_password": "hunter2"})
    assert "hunter2" not in repr(host)


@pytest.mark.parametrize(
    ("name", "data", "connector", "address"),
    [
        ("web-1", {}, "ssh", "web-1"),
        ("web-1", {"ssh_hostname": "192.0.2.1"}, "ssh", "192.0.2.1"),
        ("@ssh/web-1", {}, "ssh", "web-1"),
        ("@local", {}, "local", "@local"),
        ("@docker/box", {}, "docker", "@docker/box"),
    ],
)
def test_connector_and_address_are_those_of_pyinfra(
    name: str, data: dict[str, str], connector: str, address: str
) -> None:
    host = InventoryHost(name, (), data)
    assert (host.connector, host.address) == (connector, address)
