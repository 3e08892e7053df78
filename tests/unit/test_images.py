"""Settings of images, what goes into one, its tags, and its Dockerfile."""

from __future__ import annotations

import base64
import json
import re
import secrets
import subprocess
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.operations.images_work import archive, collect
from uplift.spec.errors import SettingsError
from uplift.spec.images import File, Found, Image, Images, Inputs, Todo, parse, plan
from uplift.spec.images.tokens import masks, value_is_secret

NAME = "registry.example.com:5000/console"
PROJECT = '[project]\nname = "console"\nversion = "2.0.0"\n'
BACKEND = '[build-system]\nrequires = ["hatchling"]\n'


def block(**changed: Any) -> dict[str, Any]:
    return {
        "name": NAME,
        "version": "2.0.0",
        "builder": "uv",
        "source": "console",
        "entry_point": ["console"],
        **changed,
    }


def image(**changed: Any) -> Image:
    return Image.parse(block(**changed), path="images.build[0]")


def inputs(*files: File, **changed: Any) -> Inputs:
    return Inputs(image(**changed), "FROM scratch\n", files)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "console"
    (folder / "src/console").mkdir(parents=True)
    (folder / "src/console/__init__.py").write_text("")
    (folder / "pyproject.toml").write_text(PROJECT + BACKEND)
    for name in ("uv.lock", "poetry.lock", "requirements.txt"):
        (folder / name).write_text("")
    return folder


def collected(folder: Path, **changed: Any) -> Inputs:
    return collect(Images(build=(image(source=str(folder), **changed),)))[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": f"{NAME}:2.0.0"}, "repository alone"),
        ({"builder": "pdm"}, "'uv', 'poetry'"),
        ({"version": "2.0 beta"}, "beginning of a tag"),
        ({"python": "3"}, "3.13"),
        ({"entry_point": []}, "entry_point is required"),
        ({"platforms": ["linux/amd64", "linux/amd64"]}, "listed twice"),
        ({"platforms": ["amd64"]}, "linux/amd64"),
        ({"files": ["../key"]}, "inside the source"),
        ({"system_packages": ["libpq5; id"]}, "Debian package"),
        ({"labels": {"io.uplift.builder": "uv"}}, "are ours"),
        ({"labels": {"team": "ghp_" + "a" * 36}}, "looks like a secret"),
        ({"builder": "dockerfile"}, "entry_point stands in the Dockerfile"),
        (
            {"builder": "dockerfile", "entry_point": [], "build_args": {"NPM_TOKEN": "x"}},
            "looks like a secret",
        ),
        ({"secrets": {"npm": {"secret": "npm/token"}}}, "only for the builder 'dockerfile'"),
        ({"index": {"url": "https://n.example/simple", "username": "u"}}, "go together"),
        ({"entrypoint": ["x"]}, "did you mean 'entry_point'"),
    ],
)
def test_bad_settings_say_what_is_allowed(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        image(**changed)


def test_an_image_listed_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match="listed twice"):
        Images.parse({"build": [block(), block()]}, path="images")


def test_tags_say_version_builder_and_hash() -> None:
    made = inputs(builder="poetry", version="1.4.0")
    assert made.moving == f"{NAME}:1.4.0-poetry"
    assert re.fullmatch(rf"{re.escape(NAME)}:1\.4\.0-poetry-[0-9a-f]{{16}}", made.fixed)


PATHS = st.text(st.characters(categories=["Ll", "Nd"]), min_size=1)
FILES = st.dictionaries(PATHS, st.binary(max_size=20), min_size=1, max_size=5)


@given(FILES, st.randoms())
def test_the_order_in_which_files_are_read_does_not_count(files: dict[str, bytes], r: Any) -> None:
    listed = [File(path, content) for path, content in files.items()]
    mixed = r.sample(listed, len(listed))
    assert inputs(*listed).hash == inputs(*mixed).hash


@given(FILES, FILES)
def test_other_files_give_another_hash(one: dict[str, bytes], two: dict[str, bytes]) -> None:
    first = inputs(*(File(path, content) for path, content in one.items()))
    second = inputs(*(File(path, content) for path, content in two.items()))
    assert (first.hash == second.hash) == (one == two)


@pytest.mark.parametrize(
    "changed",
    [
        {"dockerfile": "FROM other\n"},
        {"installer": "uv==0.13.9\n"},
        {"authorities": "-----BEGIN CERTIFICATE-----"},
        {"contexts": {"python:3.13-slim": "mirror.example/python:3.13-slim"}},
        {"source": (File("run", b"", executable=True),)},
        {"source": (File("run", b"", link=True),)},
        {"image": image(labels={"team": "core"})},
        {"image": image(platforms=["linux/arm64"])},
        {"image": image(base="python:3.12-slim")},
        {"image": image(version="2.0.1")},
        {"image": image(builder="pip")},
    ],
)
def test_each_input_counts(changed: dict[str, Any]) -> None:
    before = inputs(File("run", b""))
    assert replace(before, **changed).hash != before.hash


def test_a_password_and_a_commit_do_not_count() -> None:
    url = "https://nexus.example.com/simple"
    first, second = (
        replace(inputs(index={"url": url, "username": "ci", "password": {"secret": name}}), **more)
        for name, more in (("a", {}), ("b", {"revision": "f" * 40, "epoch": 1_700_000_000}))
    )
    assert first.hash == second.hash


def test_labels_name_builder_revision_and_date() -> None:
    made = replace(inputs(labels={"team": "core"}), revision="abc", epoch=1_700_000_000)
    assert made.labels == {
        "io.uplift.builder": "uv",
        "io.uplift.inputs": made.hash,
        "org.opencontainers.image.base.name": "python:3.13-slim",
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.revision": "abc",
        "org.opencontainers.image.title": "console",
        "org.opencontainers.image.version": "2.0.0",
        "team": "core",
    }


DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def test_nothing_is_built_when_the_registry_has_both_tags() -> None:
    made = inputs()
    assert plan([made], Found(digests={made.fixed: DIGEST, made.moving: DIGEST})) == []


@pytest.mark.parametrize("moving", ["", OTHER])
def test_an_image_that_is_not_there_is_built(moving: str) -> None:
    made = inputs()
    found = Found(digests={made.moving: moving} if moving else {})
    assert [one.action for one in plan([made], found)] == ["build"]


@pytest.mark.parametrize("moving", ["", OTHER])
def test_a_tag_that_moved_away_is_moved_back_without_a_build(moving: str) -> None:
    made = inputs()
    found = Found(digests={made.fixed: DIGEST, **({made.moving: moving} if moving else {})})
    assert [(one.action, one.digest) for one in plan([made], found)] == [("tag", DIGEST)]


def answer(reference: str, code: str, body: object) -> str:
    coded = base64.b64encode(json.dumps(body).encode()).decode()
    return f"tag {reference} {code} {coded}"


def test_a_tag_that_does_not_exist_is_no_trouble_but_a_refused_login_is() -> None:
    found = parse(
        [
            "busy ",
            answer("a:1", "200", {"Descriptor": {"digest": DIGEST}}),
            answer("b:1", "404", {"message": "manifest unknown"}),
            answer("c:1", "500", {"message": "errors: name unknown: repository unknown"}),
            answer("d:1", "401", {"message": "unauthorized"}),
            "tag e:1 000 ",
            "end",
        ]
    )
    assert found.digests == {"a:1": DIGEST}
    assert found.troubles == {"d:1": "unauthorized", "e:1": "no answer (status 000)"}


def test_an_answer_that_is_cut_off_is_an_error() -> None:
    with pytest.raises(ValueError, match="cut off"):
        parse(["busy ", "tag a:1 200"])


@pytest.mark.parametrize("builder", ["uv", "poetry", "pip"])
def test_images_differ_only_by_their_installer(source: Path, builder: str) -> None:
    text = collected(source, builder=builder).dockerfile
    assert builder in text
    assert text.split("\nFROM ")[1] == collected(source).dockerfile.split("\nFROM ")[1]
    assert 'CMD ["console"]' in text and "USER 10001" in text
    assert "secret" not in text and "{%" not in text


def test_a_login_reaches_every_step_that_downloads_as_a_secret_of_the_build(source: Path) -> None:
    index = {"url": "https://nexus.example.com/simple", "username": "ci"}
    login = {**index, "password": {"secret": "nexus/ci"}}
    for builder in ("uv", "poetry", "pip"):
        text = collected(source, builder=builder, index=login).dockerfile
        steps = re.findall(r"RUN(?:.*\\\n)*.*", text)
        loading = [one for one in steps if "target=/root/.cache" in one]
        assert len(loading) == 3
        assert all("type=secret,id=netrc" in one and "required=true" in one for one in loading)


def test_uv_takes_requirements_with_hashes_where_there_is_no_lock(source: Path) -> None:
    (source / "uv.lock").unlink()
    (source / "locked").mkdir()
    (source / "requirements.txt").rename(source / "locked/prod.txt")
    first, last = collected(source, requirements="locked/prod.txt").dockerfile.split("\nFROM ")
    assert "uv.lock" not in first and "uv sync" not in first and "uv export" not in first
    assert "--mount=type=bind,source=locked/prod.txt,target=locked/prod.txt" in first
    assert "uv pip sync --allow-empty-requirements --require-hashes locked/prod.txt" in first
    assert "uv pip install --no-deps ." in first and "uv pip check" in first
    (source / "uv.lock").write_text("")
    assert last == collected(source).dockerfile.split("\nFROM ")[1]


@pytest.mark.parametrize("builder", ["uv", "poetry", "pip"])
def test_packages_of_the_system_are_in_the_image_and_those_of_the_build_are_not(
    source: Path, builder: str
) -> None:
    def lines(text: str) -> list[str]:
        return [line.strip(" \\") for line in text.splitlines()]

    plain = collected(source, builder=builder)
    assert "apt-get" not in plain.dockerfile
    packages = {"build_packages": ["gcc", "libpq-dev"], "system_packages": ["libpq5", "tini=0.19"]}
    made = collected(source, builder=builder, **packages)
    first, last = made.dockerfile.split("\nFROM ")
    assert "gcc libpq-dev" in lines(first) and "libpq5 tini=0.19" in lines(last)
    assert "libpq5" not in first and "gcc" not in last
    # What apt downloads about packages is in no layer.
    assert all("&& rm -rf /var/lib/apt/lists/*" in lines(stage) for stage in (first, last))
    assert made.hash != plain.hash


@pytest.mark.parametrize("builder", ["uv", "poetry", "pip"])
def test_the_version_of_python_names_the_base_of_both_stages(source: Path, builder: str) -> None:
    made = collected(source, builder=builder, python="3.11.9")
    bases = [line for line in made.dockerfile.splitlines() if line.startswith("FROM ")]
    assert bases == ["FROM python:3.11.9-slim AS builder", "FROM python:3.11.9-slim"]
    assert made.labels["org.opencontainers.image.base.name"] == "python:3.11.9-slim"
    assert made.hash != collected(source, builder=builder).hash


def test_a_project_that_is_no_package_is_not_installed(source: Path) -> None:
    (source / "pyproject.toml").write_text(PROJECT)
    assert "--no-deps" not in collected(source).dockerfile


@pytest.mark.parametrize(
    ("builder", "gone", "said"),
    [
        ("poetry", ["poetry.lock"], "no poetry.lock"),
        ("pip", ["requirements.txt"], "no requirements.txt"),
        ("uv", ["uv.lock", "requirements.txt"], "no uv.lock and no requirements.txt"),
    ],
)
def test_a_source_without_its_lock_is_refused(
    source: Path, builder: str, gone: list[str], said: str
) -> None:
    for name in gone:
        (source / name).unlink()
    with pytest.raises(SettingsError, match=said):
        collected(source, builder=builder)


def test_files_with_logins_and_what_tools_made_are_never_sent(source: Path) -> None:
    for name in (".netrc", ".env", ".venv/bin/python", "src/console/__pycache__/x.pyc"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(secrets.token_hex(8))
    paths = {file.path for file in collected(source).source}
    assert paths == {
        "pyproject.toml",
        "uv.lock",
        "poetry.lock",
        "requirements.txt",
        "src/console/__init__.py",
    }


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    done = subprocess.run(
        ["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_a_revision_is_built_whatever_the_folder_holds_now(source: Path) -> None:
    git(source, "init", "--quiet")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "first")
    commit = git(source, "rev-parse", "HEAD")
    now = collected(source)
    assert (now.revision, now.epoch > 0) == (commit, True)
    (source / "src/console/__init__.py").write_text("changed = True\n")
    assert collected(source).revision == f"{commit}-changed"
    assert collected(source).hash != now.hash
    old = collected(source, revision=commit)
    assert (old.hash, old.revision) == (now.hash, commit)
    with pytest.raises(SettingsError, match="no git revision 'v9'"):
        collected(source, revision="v9")


def test_code_that_two_projects_of_a_repository_share_is_sent_and_nothing_from_elsewhere(
    source: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "--quiet")
    old = repository / "old"
    for folder in (repository / "new", old):
        folder.mkdir()
        (folder / "pyproject.toml").write_text(PROJECT)
        (folder / "uv.lock").write_text("")
    (repository / "new/src/console").mkdir(parents=True)
    (repository / "new/src/console/app.py").write_text("shared = True\n")
    (repository / "new/.env").write_text("")
    (old / "src").symlink_to("../new/src")
    (old / "pyproject.link").symlink_to("../new/pyproject.toml")
    (old / "elsewhere").symlink_to(source)
    (old / "own.env").symlink_to("../new/.env")
    (old / "inside").symlink_to("uv.lock")
    sent = {file.path: file.link for file in collected(old).source}
    assert sent == {
        "pyproject.toml": False,
        "uv.lock": False,
        "src/console/app.py": False,
        "pyproject.link": False,
        # As they are: they may well mean something in the image.
        "elsewhere": True,
        "own.env": True,
        "inside": True,
    }
    before = collected(old).hash
    (repository / "new/src/console/app.py").write_text("shared = False\n")
    assert collected(old).hash != before


LOCK = """
[[package]]
name = "console"
source = { editable = "." }

[[package]]
name = "idna"
source = { registry = "https://nexus.example.com/simple/" }
"""


def test_a_lock_made_with_the_index_is_used_as_it_is_and_else_its_hashes_alone(
    source: Path,
) -> None:
    (source / "uv.lock").write_text(LOCK)
    own = collected(source, index={"url": "https://nexus.example.com/simple"}).dockerfile
    other = collected(source, index={"url": "https://mirror.example.com/simple"}).dockerfile
    assert "uv sync" in own and "uv export" not in own
    assert "uv export" in other and "uv sync" not in other
    (source / "uv.lock").write_text("[[package")
    with pytest.raises(SettingsError, match=r"uv\.lock: "):
        collected(source, index={"url": "https://nexus.example.com/simple"})


def test_pip_is_told_to_trust_an_index_without_encryption_and_no_other(source: Path) -> None:
    plain, safe = (
        collected(source, index={"url": f"{scheme}://nexus.example.com:8081/simple"}).dockerfile
        for scheme in ("http", "https")
    )
    assert "PIP_TRUSTED_HOST=nexus.example.com:8081\n" in plain
    assert "PIP_TRUSTED_HOST" not in safe


def test_a_source_that_is_too_large_is_refused(source: Path) -> None:
    (source / "dump.sql").write_bytes(bytes(1_100_000))
    with pytest.raises(SettingsError, match="max_context"):
        collect(Images(build=(image(source=str(source)),), max_context=1))


def test_the_archive_is_the_same_bytes_for_the_same_inputs(source: Path) -> None:
    script = source / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (source / "link").symlink_to("run.sh")
    first = archive(collected(source))
    script.touch()
    assert archive(collected(source)) == first
    with tarfile.open(fileobj=BytesIO(first)) as found:
        modes = {one.name: (one.mode, one.linkname) for one in found if one.isfile() or one.issym()}
    assert modes["source/run.sh"] == (0o755, "")
    assert modes["source/uv.lock"] == (0o644, "")
    assert modes["source/link"][1] == "run.sh"
    assert {"Dockerfile", "installer/requirements.txt"} <= modes.keys()


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("glpat-" + "x" * 20, True),
        ("https://ci:" + "x@nexus.example.com", True),
        ("https://nexus.example.com/simple", False),
        ("the console of the shop", False),
    ],
)
def test_what_looks_like_a_token_is_told_from_what_does_not(value: str, secret: bool) -> None:
    assert value_is_secret(value) is secret


WRITTEN = st.text(
    st.characters(exclude_characters='\n"\\', exclude_categories=["C", "Z"]), min_size=4
)


@given(WRITTEN)
def test_what_a_dockerfile_calls_a_secret_is_masked_whatever_it_looks_like(value: str) -> None:
    dockerfile = f'FROM a\nARG A=1 \\\n  DB_PASSWORD="{value}"\nENV QUIET=yes\nRUN true yes\n'
    words = ["sed", "-E", "\n".join(masks(dockerfile))]
    line = f"RUN a {value} b\n"
    said = subprocess.run(
        words, input=line.encode(), env={"LC_ALL": "C"}, capture_output=True, check=True
    )
    assert said.stdout.decode() == "RUN a … b\n"


@pytest.mark.parametrize(
    "line",
    ["ARG TOKEN=qqqqqq", "env x_secret_y qqqqqq", "ENV a=b DB_PASSWORD='qqqqqq' c=d", "RUN x"],
)
def test_values_of_variables_with_telling_names_are_masked(line: str) -> None:
    assert any("qqqqqq" in one for one in masks(line)) == (line != "RUN x")


def test_a_platform_that_the_host_cannot_run_is_named_only_where_it_is_to_be_built() -> None:
    image = Image.parse(block(platforms=["linux/arm64", "linux/amd64"]), path="images.build[0]")
    made = Inputs(image, "FROM a\n", ())
    found = Found(platforms=("linux/amd64",))
    assert found.cannot([Todo(made, "build")]) == ["linux/arm64"]
    assert found.cannot([Todo(made, "tag", "sha256:a")]) == []


def test_another_content_of_the_same_size_has_another_date() -> None:
    def date(content: bytes) -> float:
        with tarfile.open(fileobj=BytesIO(archive(inputs(File("a", content))))) as packed:
            return packed.getmember("source/a").mtime

    assert date(b"1") == date(b"1") != date(b"2")
