"""Packages: settings, files and their hashes, what an index says, and what follows from it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.facts.http import Sent
from uplift.facts.packages import Found
from uplift.index import packages as index
from uplift.index.build import npm, ordered
from uplift.operations.packages_script import Sending
from uplift.operations.packages_work import Work, expected, outcomes
from uplift.secrets import forget
from uplift.spec.errors import SettingsError, UpliftError
from uplift.spec.http import Response
from uplift.spec.packages import Artifact, Package, Packages, Plan, Status, Sum, plan, understand
from uplift.spec.packages.artifact import default_tag, npm_named
from uplift.spec.packages.pages import npm_files, simple_files, words
from uplift.spec.packages.plan import refusal
from uplift.spec.packages.served import Refused, questions
from uplift.spec.secret import Secret

PASSWORD = secrets.token_hex(16)
LOGIN = {"username": "deployer", "password": {"secret": "nexus/deployer"}}
URL = "http://nexus.example.com:8081/repository"
EXAMPLES = Path(__file__).parents[2] / "examples/maestro"

REPOSITORIES = {
    "py": {"format": "pypi", "url": f"{URL}/py", **LOGIN},
    "js": {"format": "npm", "url": f"{URL}/js/", **LOGIN},
    "files": {"format": "raw", "url": f"{URL}/files/", **LOGIN},
}


def block(*publish: Mapping[str, Any], **more: Any) -> Packages:
    value = {"repositories": REPOSITORIES, "publish": list(publish), **more}
    return Packages.parse(value, path="packages")


def wrong(*publish: Mapping[str, Any], **more: Any) -> str:
    with pytest.raises(SettingsError) as error:
        block(*publish, **more)
    return str(error.value)


# Settings


def test_a_package_names_where_it_comes_from_once() -> None:
    entry = {"name": "a", "repository": "py"}
    assert "'source', 'files' and 'index'; found none" in wrong(entry)
    assert "found source and files" in wrong({**entry, "source": "a", "files": ["b"]})
    assert "'index' and 'version' go together" in wrong({**entry, "index": f"{URL}/old/simple"})


def test_a_repository_that_is_not_listed_is_an_error_with_a_near_miss() -> None:
    text = wrong({"name": "a", "repository": "file", "source": "a"})
    assert "no repository 'file' here, did you mean 'files'?" in text


@pytest.mark.parametrize(
    ("repository", "key", "value"),
    [("py", "tag", "next"), ("py", "replace", True), ("js", "path", "x"), ("files", "source", "a")],
)
def test_what_a_format_cannot_do_is_refused_with_the_reason(
    repository: str, key: str, value: Any
) -> None:
    origin = {} if key == "source" else {"files": ["a"]}
    assert f"a: {key} in the" in wrong(
        {"name": "a", "repository": repository, **origin, key: value}
    )


def test_a_package_that_is_listed_twice_is_refused() -> None:
    one = {"name": "a", "repository": "py", "files": ["x"]}
    assert "A is listed twice" in wrong(one, {**one, "name": "A"})


def test_nobody_publishes_as_admin() -> None:
    admin = {"py": {**REPOSITORIES["py"], "username": "Admin"}}
    assert "never published as admin" in wrong(repositories=admin)


def test_a_password_in_the_settings_is_refused_and_not_shown() -> None:
    text = wrong(repositories={"py": {**REPOSITORIES["py"], "password": PASSWORD}})
    assert "never stands in the settings" in text
    assert PASSWORD not in text


def test_a_path_never_leaves_its_repository() -> None:
    entry = {"name": "a", "repository": "files", "files": ["x"]}
    assert block({**entry, "path": "/tools/linux"}).publish[0].path == "tools/linux/"
    for path in ("../up", "a/../b", "a b"):
        assert "without '..'" in wrong({**entry, "path": path})


# Files


def collect(folder: Path, *names: str, **entry: Any) -> tuple[Artifact, ...]:
    files = [str(folder / name) for name in names]
    return index.collect(block({"name": "a", "repository": "py", "files": files, **entry}))


def test_a_file_carries_every_hash_that_an_index_may_name(tmp_path: Path) -> None:
    content = secrets.token_bytes(100)
    (tmp_path / "Some_Name-1.0-py3-none-any.whl").write_bytes(content)
    (one,) = collect(tmp_path, "*.whl")
    assert (one.project, one.version, one.size) == ("some-name", "1.0", 100)
    for algorithm, digest in one.hashes.items():
        assert digest == hashlib.new(algorithm, content).hexdigest()
    assert set(one.hashes) >= {"md5", "sha1", "sha256", "sha512"}


def test_a_folder_means_all_its_files(tmp_path: Path) -> None:
    for name in ("b-1.0.tar.gz", "a-1.0-py3-none-any.whl", ".gitignore"):
        (tmp_path / name).touch()
    assert [one.file for one in collect(tmp_path, ".")] == [
        "a-1.0-py3-none-any.whl",
        "b-1.0.tar.gz",
    ]


def test_what_is_not_built_is_named_with_its_place_in_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"publish\[0\] \(a\)\.files: .*build it first"):
        collect(tmp_path, "none-*.whl")
    with pytest.raises(SettingsError, match=r"publish\[0\] \(a\)\.source: .*no pyproject\.toml"):
        index.collect(block({"name": "a", "repository": "py", "source": str(tmp_path)}))


def test_a_file_that_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UpliftError, match=r"notes\.txt: this is no wheel"):
        collect(tmp_path, "notes.txt")


def test_a_file_name_that_a_command_could_misread_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a b-1.0.tar.gz").touch()
    with pytest.raises(UpliftError, match="named by letters"):
        collect(tmp_path, "*.gz")


def test_a_file_that_is_too_large_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with (tmp_path / "a-1.0.tar.gz").open("wb") as file:
        file.truncate(1_000_001)
    entry = {"name": "a", "repository": "py", "files": [str(tmp_path)]}
    assert index.collect(block(entry, max_size=2))
    index._BUILT.clear()
    with pytest.raises(UpliftError, match=r"1\.0 MB, more than packages\.max_size = 1"):
        index.collect(block(entry, max_size=1))


def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a-1.0.tar.gz").touch()
    one = {"repository": "py", "files": [str(tmp_path)]}
    with pytest.raises(UpliftError, match="listed twice, under first and second"):
        index.collect(block({"name": "first", **one}, {"name": "second", **one}))


def packed(folder: Path, manifest: Any) -> Path:
    file = folder / "p.tgz"
    content = json.dumps(manifest).encode()
    with tarfile.open(file, "w:gz") as archive:
        member = tarfile.TarInfo("package/package.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file


def test_a_package_of_npm_says_its_name_itself(tmp_path: Path) -> None:
    packed(tmp_path, {"name": "@a/b", "version": "1.2.3"})
    (one,) = collect(tmp_path, "p.tgz", repository="js")
    assert (one.project, one.version, one.tag) == ("@a/b", "1.2.3", "latest")


def test_an_archive_of_npm_is_the_same_bytes_whatever_order_times_and_modes_npm_gave_it(
    tmp_path: Path,
) -> None:
    files = {"package/package.json": b"{}", "package/bin/run": b"#!", "package/a.js": b"1"}
    made = []
    for number, names in enumerate([[*files], [*reversed(files)]]):
        file = tmp_path / f"{number}.tgz"
        with tarfile.open(file, "w:gz", compresslevel=1 + number) as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.uid = len(files[name]), number, number
                member.mode = 0o775 - number if name.endswith("run") else 0o664 - number * 0o20
                archive.addfile(member, io.BytesIO(files[name]))
        made.append(file.read_bytes())
        ordered(file)
    assert made[0] != made[1]
    assert (tmp_path / "0.tgz").read_bytes() == (tmp_path / "1.tgz").read_bytes()
    with tarfile.open(tmp_path / "0.tgz") as archive:
        there = {one.name: (one.mode, archive.extractfile(one)) for one in archive}
    assert {name: mode for name, (mode, _) in there.items()} == {
        "package/a.js": 0o644,
        "package/bin/run": 0o755,
        "package/package.json": 0o644,
    }


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm packs it")
def test_the_lock_of_the_example_holds_the_hash_of_what_is_packed_here(tmp_path: Path) -> None:
    source = EXAMPLES / "npm/types"
    block = {"name": "@maestro/types", "repository": "js", "source": str(source)}
    npm(Package.parse(block, path="publish"), source, tmp_path)
    (file,) = tmp_path.glob("*.tgz")
    packed = base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()
    lock = json.loads((EXAMPLES.parent / "console/web/package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert packages["node_modules/@maestro/types"]["integrity"] == f"sha512-{packed}"
    # npm ci checks nothing of an entry without one.
    assert [name for name, one in packages.items() if "integrity" not in one] == []


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ({}, "no name and version"),
        ([], "no name and version"),
        ({"name": "a", "version": "1.0.0", "private": True}, "private"),
        ({"name": "a b", "version": "1.0.0"}, "does not take"),
        ({"name": "a", "version": "1.0.0", "publishConfig": {"registry": "x"}}, "publishConfig"),
    ],
)
def test_what_npm_would_refuse_or_send_elsewhere_is_refused_before(
    tmp_path: Path, manifest: Any, text: str
) -> None:
    packed(tmp_path, manifest)
    with pytest.raises(UpliftError, match=text):
        collect(tmp_path, "p.tgz", repository="js")


def test_only_a_release_becomes_everybodys_default() -> None:
    assert [default_tag(one) for one in ("1.0.0", "1.0.0-rc.1", "1.0.0+build-1")] == [
        "latest",
        "next",
        "latest",
    ]
    assert npm_named({"name": "a", "version": "1.0.0"}) == ("a", "1.0.0")


# Builds: the example packages, whose backend is inside uv itself.


@pytest.fixture
def fresh() -> Iterator[None]:
    index._BUILT.clear()
    yield
    index._BUILT.clear()


def build(source: Path) -> dict[str, str]:
    entry = {"name": "maestro-core-logging", "repository": "py", "source": str(source)}
    index._BUILT.clear()
    return {one.file: one.hashes["sha256"] for one in index.collect(block(entry))}


def copied(folder: Path) -> Path:
    return shutil.copytree(EXAMPLES / "packages/maestro-core-logging", folder)


def test_the_same_source_gives_the_same_bytes_whatever_its_dates_and_modes(
    tmp_path: Path, fresh: None
) -> None:
    first, second = copied(tmp_path / "first"), copied(tmp_path / "other" / "second")
    for file in second.rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
        file.chmod(0o777 if file.is_dir() else 0o660)
    hashes = build(first)
    assert set(hashes) == {
        "maestro_core_logging-1.0.0-py3-none-any.whl",
        "maestro_core_logging-1.0.0.tar.gz",
    }
    assert build(second) == hashes
    with (second / "README.md").open("a") as file:
        file.write("changed\n")
    assert not set(build(second).values()) & set(hashes.values())


def test_a_build_writes_nothing_beside_its_source(tmp_path: Path, fresh: None) -> None:
    source = copied(tmp_path / "source")
    before = sorted(source.rglob("*"))
    build(source)
    assert sorted(source.rglob("*")) == before


def test_a_build_does_not_know_our_secrets(
    tmp_path: Path, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uplift.index.build import _environment

    monkeypatch.setenv("UPLIFT_SECRET_NEXUS_DEPLOYER", PASSWORD)
    known = _environment(os.environ)
    assert PASSWORD not in known.values()
    assert known["PATH"] == os.environ["PATH"]


def test_a_build_that_fails_says_why(tmp_path: Path, fresh: None) -> None:
    source = copied(tmp_path / "source")
    manifest = source / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace('version = "1.0.0"', 'version = "one"'))
    with pytest.raises(UpliftError, match=r"(?s)maestro-core-logging: not built: .*version"):
        build(source)


def test_a_source_that_builds_another_package_is_refused(tmp_path: Path, fresh: None) -> None:
    source = copied(tmp_path / "source")
    manifest = source / "pyproject.toml"
    renamed = manifest.read_text().replace('"maestro-core-logging"', '"maestro_core.logging"')
    manifest.write_text(renamed)
    assert build(source)  # the same name in another spelling
    entry = {"name": "other", "repository": "py", "source": str(source)}
    with pytest.raises(UpliftError, match="its source builds maestro-core-logging"):
        index.collect(block(entry))


# What an index says

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,9}-[0-9]\.[0-9]\.tar\.gz", fullmatch=True)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(st.dictionaries(NAMES, DIGESTS, max_size=5))
def test_a_page_of_a_simple_index_gives_back_its_files(files: dict[str, str]) -> None:
    links = "".join(
        f'<a data-requires-python="&gt;=3.11" href="../../packages/{escape(name)}?x=1#sha256={it}">'
        f"{escape(name)}</a><br/>\n"
        for name, it in files.items()
    )
    page = f"<html><head><title>Links</title></head><body>{links}</body></html>"
    assert simple_files(page) == {name: {"sha256": it} for name, it in files.items()}


def test_a_link_without_a_hash_is_a_file_without_one() -> None:
    assert simple_files('<a href="a-1.0%2Bx.tar.gz">x</a>') == {"a-1.0+x.tar.gz": {}}


def test_npms_integrity_is_read_as_digits() -> None:
    digest = hashlib.sha512(b"x")
    integrity = f"sha512-{base64.b64encode(digest.digest()).decode()}"
    document = {"versions": {"1.0.0": {"dist": {"shasum": "ab", "integrity": integrity}}}}
    assert npm_files(document)["1.0.0"] == {"sha1": "ab", "sha512": digest.hexdigest()}


def test_a_page_of_a_server_becomes_one_line() -> None:
    said = "error: 400\n<html><head><style>x{}</style><title>t</title></head><p>may\n not</p>"
    assert words(said) == "error: 400 may not"
    assert words("a" * 500) == "…" + "a" * 300
    # Text that ends like an entity is held back by the parser until it is closed.
    assert words("error: https://index.example/?a=1&b=2") == "error: https://index.example/?a=1&b=2"


# From answers to a plan


@pytest.fixture
def files(tmp_path: Path) -> tuple[Artifact, ...]:
    (tmp_path / "a-1.0.tar.gz").write_bytes(b"a")
    (tmp_path / "notes").write_bytes(b"n")
    packed(tmp_path, {"name": "@s/t", "version": "1.0.0"})
    index._BUILT.clear()
    return index.collect(settings_of(tmp_path))


def settings_of(folder: Path, **raw: Any) -> Packages:
    return block(
        {"name": "a", "repository": "py", "files": [str(folder / "*.gz")]},
        {"name": "t", "repository": "js", "files": [str(folder / "p.tgz")]},
        {"name": "n", "repository": "files", "files": [str(folder / "notes")], **raw},
    )


def answered(
    folder: Path, files: tuple[Artifact, ...], bodies: Mapping[str, tuple[int, str]], raw: Sum
) -> Plan:
    settings = settings_of(folder)
    asked = questions(settings, files, dict.fromkeys(REPOSITORIES, Secret(PASSWORD)))
    responses = []
    for page in asked.pages:
        status, body = bodies.get(page.request.path, (404, ""))
        responses.append(Response(status, 0, "text/html", body.encode()))
    return plan(settings, files, understand(settings, asked, responses, [raw]))


ROOTS = {f"/repository/{name}/": (200, "<html></html>") for name in REPOSITORIES}


def test_credentials_are_asked_with_and_never_shown(
    tmp_path: Path, files: tuple[Artifact, ...]
) -> None:
    asked = questions(settings_of(tmp_path), files, dict.fromkeys(REPOSITORIES, Secret(PASSWORD)))
    assert asked.config.count(f'user = "deployer:{PASSWORD}"') == len(asked.pages) == 5
    assert [page.request.path for page in asked.pages if page.project] == [
        "/repository/py/simple/a/",
        "/repository/js/@s%2Ft",
    ]
    assert PASSWORD not in repr(asked)


def test_nothing_there_is_everything_to_do(tmp_path: Path, files: tuple[Artifact, ...]) -> None:
    found = answered(tmp_path, files, ROOTS, Sum(404, 0, ""))
    assert [one.status for one in found.findings] == [Status.ABSENT] * 3
    assert found.todo == found.findings
    assert not found.conflicts


def pages(files: tuple[Artifact, ...], algorithm: str, digest: str) -> dict[str, tuple[int, str]]:
    npm = {"versions": {"1.0.0": {"dist": {"shasum": files[1].hashes["sha1"]}}}}
    link = f'<a href="x/a-1.0.tar.gz#{algorithm}={digest}">a</a>'
    return {
        **ROOTS,
        "/repository/py/simple/a/": (200, link),
        "/repository/js/@s%2Ft": (200, json.dumps(npm)),
    }


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_the_same_content_is_no_work_by_whatever_hash_the_index_names(
    tmp_path: Path, files: tuple[Artifact, ...], algorithm: str
) -> None:
    bodies = pages(files, algorithm, files[0].hashes[algorithm])
    found = answered(tmp_path, files, bodies, Sum(200, 0, files[2].hashes["sha256"]))
    assert [one.status for one in found.findings] == [Status.SAME] * 3
    assert not found.todo


def test_other_content_is_an_error_with_both_hashes(
    tmp_path: Path, files: tuple[Artifact, ...]
) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    found = answered(tmp_path, files, pages(files, "sha256", other), Sum(200, 0, other))
    assert [one.status for one in found.findings] == [Status.OTHER, Status.SAME, Status.OTHER]
    assert not found.todo
    text = refusal(found.conflicts)
    assert other in text
    assert files[0].hashes["sha256"] in text
    assert files[2].hashes["sha256"] in text


def test_a_file_without_a_hash_is_no_proof(tmp_path: Path, files: tuple[Artifact, ...]) -> None:
    bodies = pages(files, "", "")
    found = answered(tmp_path, files, bodies, Sum(404, 0, ""))
    assert found.findings[0].status is Status.UNKNOWN
    assert "without a hash" in refusal(found.conflicts)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, r"user 'deployer' with the password of secret\('nexus/deployer'\)"),
        (403, "may not read"),
        (404, "no such repository"),
        (500, "answers 500"),
    ],
)
def test_a_repository_that_cannot_be_read_is_named_with_the_remedy(
    tmp_path: Path, files: tuple[Artifact, ...], status: int, text: str
) -> None:
    bodies = {**ROOTS, "/repository/py/": (status, "")}
    with pytest.raises(Refused, match=rf"py \(http.*/py/\): .*{text}"):
        answered(tmp_path, files, bodies, Sum(404, 0, ""))


def test_a_page_of_something_else_is_no_index(tmp_path: Path, files: tuple[Artifact, ...]) -> None:
    bodies = {**ROOTS, "/repository/js/@s%2Ft": (200, "<html>welcome</html>")}
    with pytest.raises(Refused, match=r"js .*no npm index"):
        answered(tmp_path, files, bodies, Sum(404, 0, ""))


# What came of it


def test_what_is_served_is_the_proof_not_what_a_client_said(
    tmp_path: Path, files: tuple[Artifact, ...]
) -> None:
    before = answered(tmp_path, files, ROOTS, Sum(404, 0, ""))
    half = answered(tmp_path, files, pages(files, "md5", files[0].hashes["md5"]), Sum(404, 0, ""))
    # The first client failed after the server had taken the file; the second said it was done.
    said = [Sending(1, "connection reset"), Sending(0, "")]
    assert [one.word for one in outcomes(before, said, half)] == [
        "published",
        "published",
        "failed",
    ]
    assert [one.word for one in outcomes(before, said, before)] == ["failed"] * 3
    reasons = [one.reason for one in outcomes(before, said, before)]
    assert reasons[0] == "connection reset"
    assert "what it serves is absent" in reasons[1]
    assert "not tried" in reasons[2]


def test_a_dry_run_tells_what_is_pending(tmp_path: Path, files: tuple[Artifact, ...]) -> None:
    found = answered(tmp_path, files, ROOTS, Sum(200, 0, files[2].hashes["sha256"]))
    assert [one.word for one in expected(found)] == ["pending", "pending", "unchanged"]
    other = answered(tmp_path, files, ROOTS, Sum(200, 0, "0" * 64))
    assert expected(other)[2].word == "conflict"
    assert expected(other)[2].served == f"sha256 {'0' * 64}"


def test_nothing_listed_is_an_error() -> None:
    with pytest.raises(UpliftError, match="lists no package"):
        Work.of(block())


def found(work: Work, tools: set[str], status: int) -> Found:
    """Return what a host says of repositories that all answer alike."""
    body = b"<html></html>"
    answer = body + f"\n{status} 0 {len(body)} text/html\n".encode()
    sums = tuple(Sum(404, 0, "") for _ in work.asked.raw)
    return Found(frozenset(tools), Sent(curl=True, raw=answer * len(work.asked.pages)), sums)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    monkeypatch.setenv("UPLIFT_SECRET_NEXUS_DEPLOYER", PASSWORD)
    forget()
    (tmp_path / "a-1.0.tar.gz").write_bytes(b"a")
    (tmp_path / "notes").write_bytes(b"n")
    yield Work.of(
        block(
            {"name": "a", "repository": "py", "files": [str(tmp_path / "*.gz")]},
            {"name": "n", "repository": "files", "files": [str(tmp_path / "notes")]},
        )
    )
    forget()


def test_a_program_that_the_host_lacks_is_named_with_the_way_to_install_it(work: Work) -> None:
    assert len(work.examine(found(work, {"curl", "uv"}, 200)).todo) == 2
    with pytest.raises(UpliftError, match=r"uv is not installed on this host.*deploys/uv\.py"):
        work.examine(found(work, {"curl"}, 200))


def test_work_never_shows_its_passwords(work: Work) -> None:
    assert PASSWORD in work.asked.config
    assert PASSWORD not in repr(work)
    assert PASSWORD not in str(work.questions)
