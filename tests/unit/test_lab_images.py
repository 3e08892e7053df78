"""What the lab's images are made of, and where they are made, without a Docker Engine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from uplift.lab import images
from uplift.lab.images import catalog, context, engine, mirrors, nexus, places, store, tools
from uplift.lab.images.context import Entry
from uplift.lab.images.kit import Kit
from uplift.lab.images.mirrors import Mirrors
from uplift.lab.images.processes import run
from uplift.spec.errors import UpliftError, UsageError

MAIN = "http://mirror.example.com/debian"
SECURITY = "http://mirror.example.com/debian-security"


def ignore(_: str) -> None:
    """Take a line of progress."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "uplift"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "apt"
    (folder / "sources.list.d").mkdir(parents=True)
    return folder


# Names


def test_every_recipe_names_files_that_exist() -> None:
    for recipe in catalog.RECIPES.values():
        names = {entry.name for entry in context.recipe_files(recipe.folder)}
        assert (recipe.dockerfile if recipe.base else "Dockerfile.pulled") in names, recipe.name


def test_every_base_is_a_recipe() -> None:
    bases = {recipe.base for recipe in catalog.RECIPES.values() if recipe.base}
    assert bases <= set(images.NAMES)


def test_names_in_the_lab_registry_are_different_and_hold_a_tag() -> None:
    tags = [images.lab_tag(name) for name in images.NAMES]
    assert len(set(tags)) == len(tags)
    assert all(tag.count(":") == 1 for tag in tags)


def test_an_unknown_name_is_answered_with_a_near_one() -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'nexus:3\.30\.0'"):
        images.lab_tag("nexus:3.30")


# Hashes


def test_the_same_inputs_have_the_same_hash_and_each_input_counts() -> None:
    entries = [Entry("a", b"1"), Entry("b", b"2")]
    hashes = {
        context.fingerprint(entries, {"X": "1"}, "base"),
        context.fingerprint(entries, {"X": "2"}, "base"),
        context.fingerprint(entries, {"X": "1"}, "other base"),
        context.fingerprint([Entry("a", b"1"), Entry("b", b"3")], {"X": "1"}, "base"),
        context.fingerprint([Entry("a", b"1", True), Entry("b", b"2")], {"X": "1"}, "base"),
    }
    assert len(hashes) == 5
    assert context.fingerprint(list(entries), {"X": "1"}, "base") in hashes


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_bytes_do_not_slip_from_one_file_into_the_next(one: bytes, two: bytes) -> None:
    apart = context.fingerprint([Entry("a", one), Entry("b", two)], {}, "")
    together = context.fingerprint([Entry("a", one + two), Entry("b", b"")], {}, "")
    assert (apart == together) == (two == b"")


def test_an_image_changes_with_its_base(monkeypatch: pytest.MonkeyPatch) -> None:
    before = store._inputs(catalog.find("redis")).digest
    files = context.recipe_files

    def changed(folder: str) -> list[Entry]:
        return [*files(folder), *([Entry("new", b"")] if folder == "debian" else [])]

    monkeypatch.setattr(context, "recipe_files", changed)
    assert store._inputs(catalog.find("redis")).digest != before


def test_all_images_have_hashes_of_their_own() -> None:
    digests = {store._inputs(recipe).digest for recipe in catalog.RECIPES.values()}
    assert len(digests) == len(images.NAMES)


def test_extra_certificates_count_only_where_they_go_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def hashes() -> tuple[str, str]:
        return tuple(store._inputs(catalog.find(n)).digest for n in ("nexus:3.30.0", "host"))

    monkeypatch.setattr(context, "extra_ca", list)
    nexus_before, host_before = hashes()
    monkeypatch.setattr(context, "extra_ca", lambda: [Entry("ca/proxy.crt", b"certificate")])
    nexus_after, host_after = hashes()
    assert nexus_after != nexus_before
    assert host_after == host_before


def test_mirrors_do_not_change_a_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = store._inputs(catalog.find("host")).digest
    monkeypatch.setattr(mirrors, "configured", lambda: Mirrors(main=MAIN))
    assert store._inputs(catalog.find("host")).digest == before


# Build contexts


def test_a_context_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    on_disk = tmp_path / "file"
    on_disk.write_bytes(b"content")
    entries = [Entry("a/b", b"1", executable=True), Entry("c", on_disk)]
    context.write_tar(tmp_path / "one.tar", entries, folders=["ca"])
    os.utime(on_disk, (1, 1))
    context.write_tar(tmp_path / "two.tar", entries, folders=["ca"])
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert {(m.name, m.mode) for m in tar} == {("ca", 0o755), ("a/b", 0o755), ("c", 0o644)}


def test_scripts_of_recipes_are_executable() -> None:
    entries = {entry.name: entry for entry in context.recipe_files("host")}
    assert entries["start-sshd.sh"].executable
    assert not entries["files/etc/sudoers.d/deploy"].executable


def test_extra_certificates_are_found_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "company").mkdir()
    (tmp_path / "company" / "proxy.crt").write_bytes(b"certificate")
    (tmp_path / "readme").write_bytes(b"")
    assert context.extra_ca(tmp_path) == [Entry("ca/company/proxy.crt", b"certificate")]


def test_every_layer_of_a_build_is_marked_as_unfinished() -> None:
    recipe = catalog.find("redis")
    entry = store._dockerfile(recipe, store._inputs(recipe), pulled=False)
    assert isinstance(entry.content, bytes)
    after_from = entry.content.partition(b"FROM ${BASE}\n")[2].splitlines()[0]
    assert after_from == b'LABEL io.uplift.lab.image="redis" io.uplift.lab.building="yes"'


def test_a_pulled_image_without_a_recipe_of_its_own_only_gets_labels() -> None:
    recipe = catalog.find("redis")
    entry = store._dockerfile(recipe, store._inputs(recipe), pulled=True)
    assert isinstance(entry.content, bytes)
    assert [line.split()[0] for line in entry.content.splitlines()] == [b"ARG", b"FROM", b"LABEL"]


# Mirrors


def test_mirrors_of_a_one_line_file(etc: Path) -> None:
    (etc / "sources.list").write_text(
        "# deb http://old.example.com/debian trixie main\n"
        "deb-src http://source.example.com/debian trixie main\n"
        "deb http://tool.example.com/apt stable main # a tool that calls its suite stable\n"
        f"deb [arch=amd64] {MAIN}/ bookworm main contrib\n"
        f"deb {MAIN} bookworm-updates main\n"
        f"deb {SECURITY} bookworm-security main\n"
    )
    assert mirrors.configured(etc) == Mirrors(MAIN, SECURITY)


def test_mirrors_of_a_deb822_file(etc: Path) -> None:
    (etc / "sources.list.d" / "debian.sources").write_text(
        textwrap.dedent(f"""\
            Types: deb
            # a comment in the middle
            URIs: {MAIN}
            Suites: trixie
             trixie-updates
            Components: main
            Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

            Types: deb deb-src
            URIs: {SECURITY}/
            Suites: trixie-security
            Components: main

            Types: deb
            Enabled: no
            URIs: http://off.example.com/debian
            Suites: trixie trixie-updates
            Components: main
            """)
    )
    assert mirrors.configured(etc) == Mirrors(MAIN, SECURITY)


@pytest.mark.parametrize(
    "line",
    [
        "deb cdrom:[Debian]/ trixie main",
        "deb http://user:password@private.example.com/debian trixie main",
        "deb [signed-by=/etc/apt/keyrings/tool.gpg] http://tool.example.com/apt trixie main",
        "deb http://ubuntu.example.com/ubuntu noble main",
        "deb http://tool.example.com/apt trixie stable",
        "deb http://cut.example.com",
        "deb [arch=amd64",
    ],
)
def test_what_is_no_usable_debian_mirror_is_left_out(etc: Path, line: str) -> None:
    (etc / "sources.list").write_text(line + "\n")
    assert mirrors.configured(etc) == Mirrors()


def test_without_a_mirror_the_tools_keep_their_default(etc: Path) -> None:
    assert mirrors.configured(etc).sources("trixie") is None


def test_sources_list_the_security_updates_where_they_are_known() -> None:
    assert Mirrors(MAIN).sources("trixie") == (
        f"deb {MAIN} trixie main\ndeb {MAIN} trixie-updates main\n"
    )
    with_security = Mirrors(MAIN, SECURITY).sources("bookworm")
    assert with_security is not None
    assert with_security.endswith(f"deb {SECURITY} bookworm-security main\n")


# Interruptions


def test_a_folder_of_a_killed_process_is_removed_and_others_are_not(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys\nfrom uplift.lab.images import places\n"
        "with places.work_folder(print, pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').mkdir()\n    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -9
    (left,) = tmp_path.glob("uplift-lab-*")
    foreign = tmp_path / "uplift-lab-somebodys"
    foreign.mkdir()
    (foreign / "file").touch()
    lines: list[str] = []
    with places.work_folder(lines.append, tmp_path) as mine:
        assert lines == [f"removing {left}, left by an interrupted build"]
        assert places.left_folders(tmp_path) == []
        assert set(tmp_path.glob("uplift-lab-*")) == {mine, foreign}
    assert list(tmp_path.glob("uplift-lab-*")) == [foreign]


def test_a_lock_is_waited_for_and_given_up_after_its_limit() -> None:
    lines: list[str] = []
    with (
        places.lock("x", ignore),
        pytest.raises(UpliftError, match="another process"),
        places.lock("x", lines.append, limit=0),
    ):
        pass
    assert lines == ["x: another process is making it, waiting"]
    with places.lock("x", lines.append, limit=0):
        assert len(lines) == 1


def test_a_command_that_fails_shows_its_last_lines() -> None:
    with pytest.raises(UpliftError, match="failed\nline 2\nline 3"):
        run(["sh", "-c", "echo line 2; echo line 3 >&2; exit 1"], ignore, limit=60)


def test_a_command_that_takes_too_long_is_killed() -> None:
    with pytest.raises(UpliftError, match="took more than"):
        run(["sleep", "600"], ignore, limit=0.1)


# Tools and downloads


def test_a_missing_tool_is_named_with_its_packages() -> None:
    packages = {"no-such-tool": ("its-package",), "sh": ("dash",)}
    with pytest.raises(UpliftError, match="no-such-tool") as caught:
        tools.require(packages, "InfluxDB", ignore, install=False)
    assert "its-package" in str(caught.value)
    assert "dash" not in str(caught.value)


def test_a_download_in_the_cache_is_used_only_when_its_hash_is_right(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no Maven
    archive = cache / "downloads" / "nexus-base-template-1.zip"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"whole")
    right = hashlib.sha256(b"whole").hexdigest()
    kit = Kit(tmp_path, ignore, install=False)
    assert nexus._download("1", right, kit) == archive
    archive.write_bytes(b"who")
    with pytest.raises(UpliftError, match="mvn"):
        nexus._download("1", right, kit)


# The Engine


@pytest.fixture
def fresh_probe() -> Iterator[None]:
    engine.registry_answers.cache_clear()
    yield
    engine.registry_answers.cache_clear()


@pytest.mark.usefixtures("fresh_probe")
def test_a_registry_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    client = MagicMock()
    client.images.get_registry_data.side_effect = requests.ReadTimeout()
    monkeypatch.setattr(engine, "connect", lambda timeout: client)
    assert not engine.registry_answers("debian:trixie-slim")
    assert not engine.registry_answers("debian:trixie-slim")
    assert client.images.get_registry_data.call_count == 1


def test_an_engine_that_does_not_answer_is_an_error_for_people(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(UpliftError, match="no Docker Engine answers"):
        images.ensure("redis", ignore)


def engine_image(labels: dict[str, str], tags: list[str]) -> MagicMock:
    return MagicMock(
        labels=labels, tags=tags, attrs={"Size": 1, "Created": "2000-01-01"}, id="sha256:1"
    )


def test_images_that_others_built_on_ours_are_not_ours() -> None:
    labels = {store.LABEL: "nexus:3.30.0", store.LABEL_HASH: "a" * 64, store.LABEL_BUILDING: "no"}
    ours = store._as_made(engine_image(labels, [f"uplift-lab/nexus-3.30.0:{'a' * 12}"]))
    assert ours is not None
    assert ours.name == "nexus:3.30.0"
    assert store._as_made(engine_image(labels, ["company/nexus:1"])) is None


def test_layers_of_an_interrupted_build_are_listed_by_id() -> None:
    left = store._as_made(engine_image({store.LABEL: "redis", store.LABEL_BUILDING: "yes"}, []))
    assert left is not None
    assert left.tag == "sha256:1"
