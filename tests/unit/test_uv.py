"""uv: settings, the difference between wanted and found, and the binaries inside a wheel."""

from __future__ import annotations

import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uv_double import make_wheel, release

from uplift.facts.uv import Installed, curl_config
from uplift.index.uv import read_wheel
from uplift.operations.uv import _FUNCTIONS, _cut
from uplift.spec.entry import ABSENT, Entry
from uplift.spec.errors import SettingsError, UpliftError
from uplift.spec.uv import CURRENT, LINKS, RIGHTS, HostState, Uv, plan, refusal

WANTED = Uv(version="1.2.3")
FOLDER = Entry("folder", RIGHTS)


def done(number: str = "1.2.3", **changes: Any) -> HostState:
    """What a host has after an installation."""
    state = HostState(
        uid=0,
        arch="x86_64",
        root=FOLDER,
        version=FOLDER,
        binaries={
            name: Entry("file", RIGHTS, binary.sha256)
            for name, binary in release(number).binaries.items()
        },
        current=Entry("link", detail=number),
        links={name: Entry("link", detail=f"{CURRENT}/{name}") for name in LINKS},
        versions=(number,),
    )
    return replace(state, **changes)


BARE = HostState(uid=0, arch="x86_64")


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({"version": 0.13}, 'write it as text with three numbers, for example "0.13.8"'),
        ({"version": 1}, "write it as text"),
        ({"version": "0.13"}, "has three numbers"),
        ({"version": "0.13.8rc1"}, "has three numbers"),
        ({"version": "v0.13.8"}, "has three numbers"),
        ({"version": "0.13.8\n"}, "has three numbers"),
        ({}, "uv.version: is required"),
        ({"version": "1.2.3", "kep": 1}, "did you mean 'keep'?"),
        ({"version": "1.2.3", "keep": True}, "uv.keep"),
        ({"version": "1.2.3", "keep": -1}, "uv.keep"),
        ({"version": "1.2.3", "sha256": {"x86": "ab" * 32}}, "did you mean 'x86_64'?"),
        ({"version": "1.2.3", "sha256": {"x86_64": "sha256:ab"}}, "64 digits"),
        ({"version": "1.2.3", "index": "nexus.example.com"}, "an index is an address"),
        ({"version": "1.2.3", "index": "https://bot:pw@nexus.example.com/"}, "no user and pass"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_right(value: dict[str, Any], part: str) -> None:
    with pytest.raises(SettingsError) as error:
        Uv.parse(value, path="uv", source="group_data/all.py")
    assert part in str(error.value)
    assert str(error.value).startswith("group_data/all.py: uv")
    assert "pw" not in str(error.value)


def test_an_installed_uv_needs_nothing() -> None:
    assert plan(WANTED, done(), release()).words == ()


def test_a_bare_host_gets_everything() -> None:
    todo = plan(WANTED, BARE, release())
    assert todo.install
    assert todo.words == ("none -> 1.2.3", "/usr/local/bin/uv made", "/usr/local/bin/uvx made")


def test_another_active_version_is_switched_and_named() -> None:
    state = done(current=Entry("link", detail="1.2.2"), versions=("1.2.2", "1.2.3"))
    todo = plan(WANTED, state, release())
    assert not todo.install
    assert todo.words == ("1.2.2 -> 1.2.3",)


@pytest.mark.parametrize(
    ("changes", "install", "word"),
    [
        ({"binaries": {"uv": Entry("file", RIGHTS, "00" * 32)}}, True, "damaged"),
        ({"binaries": {"uv": Entry("link", detail="/bin/true")}}, True, "damaged"),
        ({"binaries": {}}, True, "damaged"),
        ({"version": Entry("folder", "777 0:0")}, False, "modes"),
        ({"version": Entry("folder", "755 1000:0")}, False, "modes"),
        ({"root": Entry("folder", "775 0:50")}, False, "modes"),
        ({"links": {"uv": Entry("file", RIGHTS)}}, False, "another /usr/local/bin/uv moved"),
        ({"links": {"uvx": Entry("link", detail="/x")}}, False, "another /usr/local/bin/uvx moved"),
        ({"links": {"uvx": ABSENT}}, False, "/usr/local/bin/uvx made"),
        ({"current": FOLDER}, False, "another /opt/uv/current moved"),
        ({"leftovers": ("/opt/uv/.1.2.3.tmp-x",)}, False, "killed run"),
    ],
)
def test_each_way_to_drift_is_found(changes: dict[str, Any], install: bool, word: str) -> None:
    links = {**done().links, **changes.pop("links", {})}
    todo = plan(WANTED, done(links=links, **changes), release())
    assert todo.install is install
    assert any(word in found for found in todo.words)


@pytest.mark.parametrize(
    ("keep", "removed"), [(0, ("1.2.2", "1.2.1", "1.2.0")), (1, ("1.2.1", "1.2.0")), (3, ())]
)
def test_the_versions_that_were_active_last_are_kept(keep: int, removed: tuple[str, ...]) -> None:
    state = done(versions=("1.2.3", "1.2.2", "1.2.1", "1.2.0"))
    todo = plan(Uv(version="1.2.3", keep=keep), state, release())
    assert todo.remove == removed


def test_the_version_that_is_active_before_the_change_is_kept_first() -> None:
    # Its folder may be older than that of a version which somebody only tried for a minute.
    state = done("1.2.0", versions=("1.2.2", "1.2.1", "1.2.0"))
    assert plan(Uv(version="1.2.3", keep=1), state, release()).remove == ("1.2.2", "1.2.1")


def test_the_wanted_version_is_never_removed() -> None:
    state = done(versions=("1.2.2", "1.2.3"))
    assert "1.2.3" not in plan(Uv(version="1.2.3", keep=0), state, release()).remove


@pytest.mark.parametrize(
    ("state", "part"),
    [
        (replace(BARE, uid=1000), "_sudo = True"),
        (replace(BARE, arch="armv7l"), "x86_64 and aarch64 are supported, this one is armv7l"),
        (replace(BARE, root=Entry("file", RIGHTS)), "/opt/uv is in the way"),
    ],
)
def test_a_host_that_cannot_have_uv_is_told_why(state: HostState, part: str) -> None:
    assert part in str(refusal(state))


def test_a_host_that_can_have_uv_is_not_refused() -> None:
    assert refusal(BARE) is None
    assert refusal(done()) is None


def test_the_fact_reads_what_the_script_prints() -> None:
    hashes = {name: binary.sha256 for name, binary in release().binaries.items()}
    output = [
        "host\t0\tx86_64",
        "root\tfolder\t755 0:0\t",
        "version\tfolder\t755 0:0\t",
        f"binary uv\tfile\t755 0:0\t{hashes['uv']}",
        f"binary uvx\tfile\t755 0:0\t{hashes['uvx']}",
        "current\tlink\t\t1.2.3",
        "link uv\tlink\t\t/opt/uv/current/uv",
        "link uvx\tlink\t\t/opt/uv/current/uvx",
        "used\t100\t1.2.2",
        "used\t200\t1.2.3",
    ]
    assert Installed().process(output) == done(versions=("1.2.3", "1.2.2"))


def test_the_fact_really_runs_where_uv_was_never_installed(tmp_path: Path) -> None:
    command = Installed().command("1.2.3").get_raw_value().replace("/opt/uv", str(tmp_path / "no"))
    command = command.replace("/usr/local/bin", str(tmp_path))
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stderr) == (0, "")
    state = Installed().process(ran.stdout.splitlines())
    assert state.root == state.current == state.links["uv"] == ABSENT


def test_a_token_in_an_address_keeps_its_quotes_in_curls_configuration() -> None:
    assert curl_config('https://example.com/a"b\\c') == 'url = "https://example.com/a\\"b\\\\c"\n'


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=2000),
    method=st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]),
)
def test_a_shell_cuts_a_binary_out_of_a_wheel_without_unzip(
    tmp_path: Path, content: bytes, method: int
) -> None:
    wheel = make_wheel(tmp_path, binaries={"uv": b"\0" + content, "uvx": content}, method=method)
    found = read_wheel(wheel, "1.2.3", "00" * 32)
    calls = "\n".join(_cut(name, binary) for name, binary in found.binaries.items())
    (tmp_path / "new").mkdir(exist_ok=True)
    script = (
        f"root=/nowhere version=1\n{_FUNCTIONS}\ntmp={tmp_path}\ncp {wheel} $tmp/wheel\n{calls}"
    )
    subprocess.run(["sh", "-c", script], check=True, timeout=30, stdin=subprocess.DEVNULL)
    assert (tmp_path / "new/uv").read_bytes() == b"\0" + content
    assert (tmp_path / "new/uvx").read_bytes() == content


def test_a_file_that_is_no_wheel_of_this_uv_is_named(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "1.2.3")
    with pytest.raises(UpliftError, match=r"this is no wheel of uv 1\.2\.4"):
        read_wheel(wheel, "1.2.4", "00" * 32)
