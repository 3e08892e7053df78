"""What a checkout remembers of its lab, its keys, and the lock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from uplift.lab import keys
from uplift.lab.addresses import PORTS, Addresses
from uplift.lab.state import Host, LabState, NoLabError, Places, Registry, find, locked
from uplift.spec.errors import Exit, UpliftError

AT = Addresses(block=9, ports={port: port for port in PORTS})


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    (tmp_path / "inventories").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPLIFT_LAB", "mine")
    return Places.of(None)


def some_lab(places: Places) -> LabState:
    host, registry = Host.at(AT, "lab-1", "host"), Registry.at(AT)
    folder = str(places.project)
    return LabState(name=places.name, folder=folder, hosts=(host,), registry=registry)


def test_what_is_saved_is_loaded_again(places: Places) -> None:
    places.save(some_lab(places))
    assert places.load() == some_lab(places)
    assert find()[1] == some_lab(places)
    assert [file.name for file in places.folder.iterdir()] == ["lab.json"]


def test_saving_the_same_again_does_not_write(places: Places) -> None:
    places.save(some_lab(places))
    before = places.state.stat()
    places.save(some_lab(places))
    after = places.state.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_light_host_has_no_service_ports() -> None:
    assert Host.at(AT, "lab-1", "host-light").ports == {22: 22}
    assert set(Host.at(AT, "lab-1", "host").ports) == set(PORTS)


def test_no_lab_says_what_to_run_and_is_wrong_usage(places: Places) -> None:
    with pytest.raises(NoLabError, match="run `uplift lab up`") as refused:
        find()
    assert refused.value.exit_code == Exit.USAGE
    with pytest.raises(NoLabError, match="run `uplift lab up --name other`"):
        find("other")


def test_no_lab_names_the_others_of_the_folder(places: Places) -> None:
    Places(places.project, "mine-too").save(LabState(name="mine-too", folder="/"))
    with pytest.raises(NoLabError, match=r"there is another: export UPLIFT_LAB=mine-too$"):
        find("other")


def test_a_lab_whose_first_up_was_killed_counts_as_none(places: Places) -> None:
    places.save(LabState(name="mine", folder=str(places.project)))
    with pytest.raises(NoLabError):
        find()


@pytest.mark.parametrize("text", ["", "{", '{"format": 2}', '{"name": "x", "folder": 1}'])
def test_a_damaged_state_file_is_named(places: Places, text: str) -> None:
    places.folder.mkdir(parents=True)
    places.state.write_text(text)
    with pytest.raises(UpliftError, match=r"lab\.json cannot be read"):
        places.load()


def test_a_second_run_on_the_same_lab_is_locked_out_and_told_by_whom(places: Places) -> None:
    with (
        locked(places),
        pytest.raises(UpliftError, match=r"process \d+") as refused,
        locked(places),
    ):
        pytest.fail("both have the lock")
    assert refused.value.exit_code == Exit.LOCKED
    with locked(places):
        pass


def test_two_labs_of_one_folder_do_not_lock_each_other_out(places: Places) -> None:
    with locked(places), locked(Places.of("other")):
        pass


def test_the_lock_of_a_killed_run_is_free(places: Places) -> None:
    code = (
        "import time; from uplift.lab.state import *\n"
        "with locked(Places.of(None)): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=places.project
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UpliftError, match=str(other.pid)), locked(places):
            pytest.fail("both have the lock")
        other.kill()
    with locked(places):
        pass


def test_the_lock_that_a_down_removed_is_not_taken_for_the_new_one(places: Places) -> None:
    with locked(places):
        places.lock.unlink()
        with locked(places):  # a new file: the old one counts for nothing
            assert places.lock.exists()


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "lab" / "id_ed25519"
    public = keys.public_key(file, "a comment")
    assert keys.public_key(file, "a comment") == public
    assert file.stat().st_mode & 0o777 == 0o600
    assert public.startswith("ssh-ed25519 ")
    assert public.endswith(" a comment\n")
    load_ssh_private_key(file.read_bytes(), password=None)


def test_known_hosts_lines_name_the_port_where_it_is_not_22() -> None:
    found = ["ssh-ed25519 AAAA root@lab-1\n", "ssh-rsa BBBB\n"]
    assert keys.known_hosts_lines("127.0.9.11", 22, found) == [
        "127.0.9.11 ssh-ed25519 AAAA",
        "127.0.9.11 ssh-rsa BBBB",
    ]
    assert keys.known_hosts_lines("127.0.9.11", 2222, found)[1] == "[127.0.9.11]:2222 ssh-rsa BBBB"


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with file.open() as reader:
        keys.write_whole(file, b"new", 0o640)
        assert reader.read() == "old"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o640)
    assert list(tmp_path.iterdir()) == [file]
