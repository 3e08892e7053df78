"""What the controller asks an index, trusts, records and refuses: real pip, made-up index."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from uv_double import BINARIES, Index, make_wheel, serve, sha256

from uplift.index import uv, wheels
from uplift.index.record import Record
from uplift.spec.errors import UpliftError
from uplift.spec.uv import Checksums, Uv


@pytest.fixture(autouse=True)
def clean_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    another_run(monkeypatch)


def another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the answers that one run shares between its hosts."""
    monkeypatch.setattr(uv, "_ANSWERS", {})


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    make_wheel(tmp_path / "index", "1.2.3")
    make_wheel(tmp_path / "index", "1.2.2")
    with serve(Index(tmp_path / "index")) as served:
        yield served


@pytest.mark.parametrize("as_json", [False, True])
def test_the_index_hash_is_trusted_and_recorded_at_first_sight(index: Index, as_json: bool) -> None:
    index.as_json = as_json
    found = uv.release(Uv(version="1.2.3", index=index.url), "x86_64")
    assert found.sha256 == sha256(index.folder / found.file)
    assert found.binaries["uv"].size == len(BINARIES["uv"])
    record = json.loads(Path(".uplift/uv.json").read_text())
    assert record["trusted"] == {"1.2.3": {"x86_64": found.sha256}}


def test_the_index_is_not_asked_again_for_what_is_recorded_and_hosts_ask_it(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Uv(version="1.2.3", index=index.url)
    first = uv.release(wanted, "x86_64")
    # Hosts get the address of the file.
    url = uv.url_for_hosts(wanted, "x86_64", first)
    assert url == index.url.replace("/simple/", "/files/uv-1.2.3-py3-none-musllinux_1_1_x86_64.whl")
    asked = len(index.requests)
    another_run(monkeypatch)
    assert asked > 0
    assert uv.release(wanted, "x86_64") == first
    assert len(index.requests) == asked


def test_one_run_asks_once_for_all_hosts_also_when_the_answer_is_an_error(index: Index) -> None:
    wanted = Uv(version="9.9.9", index=index.url)
    for _ in range(2):
        with pytest.raises(UpliftError, match=r"from versions: 1\.2\.2, 1\.2\.3") as error:
            uv.release(wanted, "x86_64")
        assert "Change uv.version in group_data" in str(error.value)
    assert index.requests.count("/simple/uv/") == 1


def test_an_index_that_changes_a_released_file_is_refused_with_both_hashes(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Uv(version="1.2.3", index=index.url)
    trusted = uv.release(wanted, "x86_64")
    make_wheel(index.folder, binaries={"uv": b"evil", "uvx": b"evil"})
    another_run(monkeypatch)
    with pytest.raises(UpliftError) as error:
        uv.url_for_hosts(wanted, "x86_64", trusted)
    assert trusted.sha256 in str(error.value)
    assert sha256(index.folder / trusted.file) in str(error.value)
    assert ".uplift/uv.json" in str(error.value)
    assert "uv.sha256.x86_64" in str(error.value)


def test_the_settings_hash_is_stronger_than_the_index(index: Index) -> None:
    other = "ab" * 32
    wanted = Uv(version="1.2.3", index=index.url, sha256=Checksums(x86_64=other))
    with pytest.raises(UpliftError) as error:
        uv.release(wanted, "x86_64")
    assert other in str(error.value)
    assert "the settings (uv.sha256.x86_64)" in str(error.value)
    assert not Path(".uplift/uv.json").exists()


def test_a_hash_from_the_settings_needs_no_hash_of_the_index(index: Index) -> None:
    index.hash_offered = None
    right = sha256(make_wheel(index.folder))
    wanted = Uv(version="1.2.3", index=index.url, sha256=Checksums(x86_64=right))
    assert uv.release(wanted, "x86_64").sha256 == right
    assert json.loads(Path(".uplift/uv.json").read_text())["trusted"] == {}


def test_an_index_without_hashes_is_trusted_by_the_file_that_it_gives(index: Index) -> None:
    index.hash_offered = None
    found = uv.release(Uv(version="1.2.3", index=index.url), "x86_64")
    assert found.sha256 == sha256(index.folder / found.file)


def test_a_hash_of_another_version_is_refused_before_any_host(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = uv.release(Uv(version="1.2.2", index=index.url), "x86_64")
    another_run(monkeypatch)
    wanted = Uv(version="1.2.3", index=index.url, sha256=Checksums(x86_64=old.sha256))
    with pytest.raises(UpliftError, match=r"this is the sha256 of uv 1\.2\.2"):
        uv.release(wanted, "x86_64")


def test_an_architecture_without_a_wheel_is_named(index: Index) -> None:
    with pytest.raises(UpliftError, match="musllinux_1_1_aarch64"):
        uv.release(Uv(version="1.2.3", index=index.url), "aarch64")


def test_a_wheel_from_a_folder_of_the_controller_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path / "links")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wanted = Uv(version="1.2.3")
    assert uv.url_for_hosts(wanted, "x86_64", uv.release(wanted, "x86_64")) is None


def test_a_wheel_in_the_cache_is_sent_when_the_index_is_down(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Uv(version="1.2.3", index=index.url)
    known = uv.release(wanted, "x86_64")
    another_run(monkeypatch)

    def down(wanted: wheels.Wanted) -> wheels.Found:
        raise UpliftError("down")

    monkeypatch.setattr(wheels, "find", down)
    assert uv.url_for_hosts(wanted, "x86_64", known) is None
    assert len(uv.payload(wanted, "x86_64", known)) == 1


def test_a_damaged_wheel_in_the_cache_is_fetched_again(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Uv(version="1.2.3", index=index.url)
    known = uv.release(wanted, "x86_64")
    cached = wheels.in_cache(known.sha256)
    assert cached
    cached.write_bytes(b"short")
    another_run(monkeypatch)
    uv.payload(wanted, "x86_64", known)
    assert sha256(cached) == known.sha256


def test_a_file_with_another_hash_than_its_page_says_is_refused(index: Index) -> None:
    index.hash_offered = "cd" * 32
    with pytest.raises(UpliftError):
        uv.release(Uv(version="1.2.3", index=index.url), "x86_64")
    assert not Path(".uplift/uv.json").exists()


def test_credentials_of_the_controllers_pip_stay_out_of_errors_and_of_what_hosts_get(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = secrets.token_hex(16)
    with_password = index.url.replace("//", f"//bot:{password}@")
    monkeypatch.setenv("PIP_INDEX_URL", with_password)
    with pytest.raises(UpliftError) as error:
        uv.release(Uv(version="9.9.9"), "x86_64")
    assert password not in str(error.value)
    wanted = Uv(version="1.2.3")
    url = uv.url_for_hosts(wanted, "x86_64", uv.release(wanted, "x86_64"))
    assert url
    assert password not in url


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', '{"format": 1, "trusted": []}'])
def test_a_record_that_cannot_be_read_is_never_forgotten_silently(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "uv.json"
    file.write_text(text)
    with pytest.raises(UpliftError, match="not a record"):
        Record(file).trust("1.2.3", "x86_64", "ab" * 32)
    assert file.read_text() == text


def test_what_is_known_of_wheels_can_be_taken_out_of_the_record(tmp_path: Path) -> None:
    file = tmp_path / "uv.json"
    record = Record(file)
    record.trust("1.2.3", "x86_64", "ab" * 32)
    data = json.loads(file.read_text())
    del data["wheels"]
    file.write_text(json.dumps(data))
    assert record.release("ab" * 32) is None
    assert record.trusted("1.2.3", "x86_64") == "ab" * 32


def test_two_runs_that_see_different_hashes_at_once_do_not_both_win(tmp_path: Path) -> None:
    record = Record(tmp_path / "uv.json")
    record.trust("1.2.3", "x86_64", "ab" * 32)
    record.trust("1.2.3", "x86_64", "ab" * 32)
    with pytest.raises(UpliftError, match="two hashes"):
        record.trust("1.2.3", "x86_64", "cd" * 32)
    assert record.trusted("1.2.3", "x86_64") == "ab" * 32
