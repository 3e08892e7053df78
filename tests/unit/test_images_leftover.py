"""What an image says and holds that it should not."""

from __future__ import annotations

import pytest

from uplift.spec.images import File, Image, Inputs
from uplift.spec.images.leftover import labels, runs_as_root, tools

VENV = "app/.venv"


def inputs(**changed: object) -> Inputs:
    block = {"name": "r.example.com/console", "version": "2.0.0", "builder": "uv", "source": "c"}
    image = Image.parse({**block, "entry_point": ["console"], **changed}, path="images.build[0]")
    return Inputs(image, "FROM a\n", (File("a", b"b"),), revision="abc", epoch=1)


def test_the_labels_of_an_image_are_those_of_its_inputs() -> None:
    assert labels(inputs(), inputs().labels) == []


def test_a_later_commit_with_the_same_files_is_the_same_image() -> None:
    other = {**inputs().labels, "org.opencontainers.image.revision": "other"}
    assert labels(inputs(), other) == []


@pytest.mark.parametrize("key", inputs().labels)
def test_a_label_that_is_gone_is_named(key: str) -> None:
    assert labels(inputs(), {**inputs().labels, key: ""}) == [f"it has no label {key}"]


def test_another_builder_is_named() -> None:
    found = {**inputs().labels, "io.uplift.builder": "poetry"}
    assert labels(inputs(), found) == ["label io.uplift.builder: 'poetry', not 'uv'"]


@pytest.mark.parametrize(
    ("user", "root"),
    [("", True), ("root", True), ("0", True), ("0:0", True), ("root:app", True), (None, True),
     ("10001", False), ("app", False), ("10001:0", False), ("rooted", False)],
)  # fmt: skip
def test_whoever_is_root_is_found(user: str | None, root: bool) -> None:
    assert runs_as_root({"Config": {"User": user}}) is root


@pytest.mark.parametrize(
    "path",
    [
        *("usr/local/bin/pip", "usr/local/bin/pip3.13", "opt/installer/bin/uv", "usr/bin/poetry"),
        *("usr/bin/gcc", "usr/bin/x86_64-linux-gnu-gcc-14", "usr/bin/g++", "usr/bin/cc", "bin/ld"),
        f"{VENV}/lib/python3.13/site-packages/pip/__init__.py",
    ],
)
def test_installers_and_compilers_are_found_unless_they_are_allowed(path: str) -> None:
    assert tools([path], []) == [f"/{path}"]
    assert tools([path], [path]) == []


@pytest.mark.parametrize(
    "path",
    [
        *(f"{VENV}/bin/python", f"{VENV}/bin/uvicorn", "usr/bin/pipewire", "usr/share/doc/gcc"),
        *("usr/lib/gcc/x", f"{VENV}/lib/python3.13/site-packages/pipeline/__init__.py"),
        *("usr/local/lib/python3.13/ensurepip/_bundled/pip-25.whl", "usr/bin/gold", "usr/bin/asm"),
    ],
)
def test_what_only_sounds_like_them_is_not(path: str) -> None:
    assert tools([path], []) == []
