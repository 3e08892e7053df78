"""A small project, built by each builder on a real host, and pushed to a real registry."""

from __future__ import annotations

import secrets
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from images_box import LIMIT, OCI, Box, Run, commit, no_change

from uplift import controller

pytestmark = pytest.mark.slow

NAME = "registry:5000/uplift-test/tiny"
BASE = "registry:5000/python:3.13-slim"
POETRY = "poetry==2.5.1"
SOURCE_URL = "https://git.example.com/tiny"
# Dates of the two commits of the source; the first has no uv.lock.
DATES = (1_700_000_000, 1_750_000_000)
BUILDERS = {"2.0.0-uv": "uv", "1.4.0-poetry": "poetry", "2.0.0-pip": "pip", "2.0.1-uv": "uv"}

CODE = """
import idna

def main() -> None:
    print("tiny", idna.encode("b\\u00fccher.example").decode())
"""
PYPROJECT = """
[project]
name = "tiny"
version = "2.0.0"
requires-python = ">=3.11,<4"
dependencies = ["idna==3.10"]
scripts = {{ tiny = "tiny:main" }}

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[[tool.poetry.source]]
name = "mirror"
url = "{index}"
priority = "primary"
"""
# A secret that one step copies and the next deletes.
LEAK = """
FROM python:3.13-slim
RUN --mount=type=secret,id=token cp /run/secrets/token /opt/copy
RUN rm /opt/copy
"""


@dataclass
class Tiny(Box):
    """A host that builds the small project, and runs it."""

    source: Path = field(default_factory=Path)

    def image(self, **changed: Any) -> dict[str, Any]:
        return {
            "name": NAME,
            "version": "2.0.0",
            "builder": "uv",
            "source": str(self.source),
            "source_url": SOURCE_URL,
            "entry_point": ["tiny"],
            "ca_files": controller.certificates(),
            **changed,
        }

    def apply(self, *images: Any, options: tuple[str, ...] = ("-y",), **block: Any) -> int:
        # The public index is known to the host alone.
        return super().apply(*images, options=options, network="host", **block)

    def every(self) -> list[dict[str, Any]]:
        """Return an image by each builder; the last by uv from requirements with hashes."""
        poetry, pip = self.image(builder="poetry", version="1.4.0"), self.image(builder="pip")
        return [self.image(), poetry, pip, self.image(version="2.0.1", revision="HEAD~1")]

    def program(self, tag: str, *words: str) -> str:
        return self.sh(shlex.join(["docker", "run", "--rm", f"{NAME}:{tag}", *words]))


@pytest.fixture(scope="module")
def box(
    hosts: list[dict[str, Any]],
    pyinfra: Run,
    ssh: Run,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Tiny:
    name = hosts[0]["name"]
    for part in ("certificates", "docker"):
        pyinfra("inventories/lab.py", f"deploys/{part}.py", "-y", "--limit", name)
    folder, bases = tmp_path_factory.mktemp("images"), {"python:3.13-slim": BASE}
    source = project(tmp_path_factory.mktemp("tiny"))
    return Tiny(name, ssh, dict(environment), folder, NAME, bases, source=source)


def project(folder: Path) -> Path:
    index = controller.python_remote() + "simple/"
    (folder / "src/tiny").mkdir(parents=True)
    (folder / "src/tiny/__init__.py").write_text(CODE)
    (folder / "pyproject.toml").write_text(PYPROJECT.format(index=index))
    (folder / "Dockerfile").write_text(LEAK)
    uv = str(Path(sys.executable).parent / "uv")
    export = [uv, "export", "--quiet", "--no-emit-project", "-o", "requirements.txt"]
    for words in ([uv, "lock"], export, [uv, "tool", "run", "--from", POETRY, "poetry", "lock"]):
        subprocess.run(words, cwd=folder, check=True, timeout=LIMIT, capture_output=True)
    lock = (folder / "uv.lock").rename(folder.with_name("uv.lock"))
    commit(folder, DATES[0])
    lock.rename(folder / "uv.lock")
    commit(folder, DATES[1])
    return folder


@pytest.fixture(scope="module")
def built(box: Tiny) -> dict[str, str]:
    """An image by each builder in the registry; their digests by tag."""
    assert box.apply(*box.every()) == 0, box.said
    return box.told()


def test_each_is_pushed_under_a_tag_that_stays_and_one_that_moves(
    box: Tiny, built: dict[str, str]
) -> None:
    assert {tag.rpartition("-")[0] for tag in built} == BUILDERS.keys()
    for tag, digest in built.items():
        assert box.digest(tag) == digest
        assert box.digest(tag.rpartition("-")[0]) == digest


def test_a_second_run_builds_nothing(box: Tiny, built: dict[str, str]) -> None:
    builds = box.sh("ls /var/lib/uplift/jobs")
    assert box.apply(*box.every(), options=("-y", "--json")) == 0
    assert no_change(box.said) == [[box.name]]
    assert box.sh("ls /var/lib/uplift/jobs") == builds
    assert box.apply(*box.every(), options=("-y", "-v")) == 0
    assert "all 4 are in their registry" in box.said


@pytest.mark.parametrize(("tag", "builder"), BUILDERS.items())
def test_an_image_runs_without_tools_and_without_root(
    box: Tiny, built: dict[str, str], tag: str, builder: str
) -> None:
    assert box.program(tag) == "tiny xn--bcher-kva.example"
    assert box.program(tag, "id", "-u") == "10001"
    for tool in ("pip", "uv", "poetry", "gcc", "cc", "make"):
        assert box.program(tag, "sh", "-c", f"command -v {tool} || echo none") == "none"
    found = "import importlib.util as u; print(u.find_spec('pip'))"
    assert box.program(tag, "python", "-c", found) == "None"
    label = "docker image inspect --format '{{index .Config.Labels \"io.uplift.builder\"}}'"
    assert box.sh(f"{label} {NAME}:{tag}") == builder


def test_images_are_the_same_but_for_what_names_their_builder(
    box: Tiny, built: dict[str, str]
) -> None:
    configs = [box.config(tag)["config"] for tag in BUILDERS]
    for one in configs:
        # Each is looked at below.
        del one["Labels"]
        assert one == configs[0]
    assert (configs[0]["User"], configs[0]["Cmd"]) == ("10001", ["tiny"])
    found = (
        "import importlib.metadata as m; "
        "print(*sorted((one.name, one.version) for one in m.distributions(path=m.sys.path[-1:])))"
    )
    said = {tag: box.program(tag, "python", "-c", found) for tag in BUILDERS}
    assert set(said.values()) == {"('idna', '3.10') ('tiny', '2.0.0')"}


def test_labels_at_the_registry_name_the_commit_and_its_date(
    box: Tiny, built: dict[str, str]
) -> None:
    git = ["git", "-C", str(box.source), "rev-parse", "HEAD~1", "HEAD"]
    said = subprocess.run(git, check=True, capture_output=True, text=True).stdout
    commits = dict(zip(DATES, said.split(), strict=True))
    for tag, builder in BUILDERS.items():
        epoch = DATES[0 if tag == "2.0.1-uv" else 1]
        found = box.config(tag)
        date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
        # The lab's base has labels of its own.
        own = found["config"]["Labels"].items()
        labels = {key: text for key, text in own if not key.startswith("io.uplift.lab.")}
        assert box.digest(f"{tag}-{labels.pop('io.uplift.inputs')}") == box.digest(tag)
        assert labels == {
            "io.uplift.builder": builder,
            f"{OCI}base.name": "python:3.13-slim",
            f"{OCI}created": date,
            f"{OCI}revision": commits[epoch],
            f"{OCI}source": SOURCE_URL,
            f"{OCI}title": "tiny",
            f"{OCI}version": tag.partition("-")[0],
        }
        # What BuildKit made of SOURCE_DATE_EPOCH.
        assert found["created"] == date


def test_packages_of_the_system_are_in_the_image_and_those_of_the_build_only_there(
    box: Tiny, built: dict[str, str]
) -> None:
    packages = {"build_packages": ["make"], "system_packages": ["tini"]}
    assert box.apply(box.image(version="2.5.0", **packages)) == 0, box.said
    assert "tini version" in box.program("2.5.0-uv", "tini", "--version")
    there = ("sh", "-c", "command -v make; command -v tini; ls /var/lib/apt/lists")
    assert box.program("2.5.0-uv", *there) == "/usr/bin/tini"
    assert box.program("2.5.0-uv") == box.program("2.0.0-uv")
    assert box.program("2.0.0-uv", "sh", "-c", "command -v tini || echo none") == "none"


def test_what_users_verify_holds_for_each_and_a_compiler_that_is_left_is_found(
    box: Tiny, built: dict[str, str], tmp_path: Path
) -> None:
    found = box.verify(box.inventory(*box.every(), network="host"))
    assert found["failures"] == [], box.said
    assert found["subjects"]["images"] == {"passed": 5, "failed": 0, "skipped": 0}
    copy = shutil.copytree(box.source, tmp_path / "tiny")
    (copy / "bin").mkdir()
    (copy / "bin/gcc").write_text("#!/bin/sh\n")
    left = box.image(version="2.4.0", source=str(copy), files=["bin/gcc"])
    assert box.apply(left) == 0, box.said
    (failure,) = box.verify(box.inventory(left, network="host"))["failures"]
    assert failure["test"].startswith("test_no_installer_and_no_compiler_is_left_in_it")
    assert "/app/bin/gcc" in box.said


def test_pip_and_a_lock_through_another_index_give_an_image_that_runs(box: Tiny) -> None:
    index = {"url": controller.python_remote() + "simple"}
    pip = box.image(builder="pip", version="2.1.0", index=index)
    assert box.apply(pip, box.image(version="2.1.0", index=index)) == 0, box.said
    for tag in ("2.1.0-pip", "2.1.0-uv"):
        assert box.program(tag) == "tiny xn--bcher-kva.example"


def test_each_has_the_same_code_with_its_bytecode(box: Tiny, built: dict[str, str]) -> None:
    sums = "cd /app/.venv/lib && find . -type f ! -path '*.dist-info/*' | sort | xargs sha256sum"
    # Poetry makes environments by virtualenv, which leaves a file of its own.
    first, *others = (
        [
            line
            for line in box.program(tag, "sh", "-c", sums).splitlines()
            if "virtualenv" not in line
        ]
        for tag in BUILDERS
    )
    for package in ("tiny", "idna"):
        compiled = f"{package}/__pycache__/__init__.cpython-313.pyc"
        assert [line for line in first if line.endswith(compiled)] != []
    assert others == [first] * 3


def test_a_changed_source_is_built_and_its_return_only_moves_the_tag(
    box: Tiny, built: dict[str, str]
) -> None:
    before = box.digest("2.0.0-uv")
    file = box.source / "src/tiny/__init__.py"
    file.write_text(CODE.replace('"tiny"', '"taxi"'))
    try:
        assert box.apply(box.image(), options=("--dry",)) == 0
        assert "is built and pushed" in box.said and box.digest("2.0.0-uv") == before
        assert box.apply(box.image()) == 0, box.said
        assert box.digest("2.0.0-uv") not in ("", before)
        assert box.program("2.0.0-uv").startswith("taxi")
    finally:
        file.write_text(CODE)
    assert box.apply(box.image()) == 0, box.said
    assert box.digest("2.0.0-uv") == before
    assert all(box.digest(tag) == digest for tag, digest in built.items())


def test_a_leaked_secret_is_found_though_a_later_step_deletes_it(box: Tiny) -> None:
    token = secrets.token_hex(16)
    box.environment["UPLIFT_SECRET_TINY_TOKEN"] = token
    leaking = {
        **box.image(version="3.0.0", builder="dockerfile"),
        "secrets": {"token": {"secret": "tiny/token"}},
    }
    leaking = {
        key: value for key, value in leaking.items() if key not in ("entry_point", "ca_files")
    }
    assert box.apply(leaking, options=("-y", "-vvv", "--debug")) == 1
    assert "/opt/copy: holds a secret of this build" in box.said
    assert token not in box.said
    assert box.digest("3.0.0-dockerfile") == ""


def test_a_failed_build_shows_the_lines_of_its_step(box: Tiny) -> None:
    wrong = box.image(version="3.1.0", build_packages=["no-such-package"])
    assert box.apply(wrong) == 1
    assert "Unable to locate package no-such-package" in box.said
    assert "was not built" in box.said
    assert len(box.said.splitlines()) < 90


def test_a_registry_that_is_not_there_is_named_and_nothing_is_built(box: Tiny) -> None:
    assert box.apply({**box.image(), "name": "127.0.0.1:9/tiny"}) == 1
    assert "the registry could not be asked" in box.said and "127.0.0.1:9/tiny" in box.said
