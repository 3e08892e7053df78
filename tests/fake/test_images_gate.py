"""The search for secrets in layers, by the shell, in archives as Docker saves them."""

from __future__ import annotations

import secrets
import subprocess
import tarfile
from pathlib import Path

import pytest

from uplift.operations.images_gate import GATE, patterns
from uplift.spec.images import Image
from uplift.spec.secret import Secret

KEY = secrets.token_hex(16)
TOKEN = f"glpat-{secrets.token_hex(10)}"
PLAIN, PACKED = "w", "w:gz"


def archive(folder: Path, mode: str, **files: bytes) -> Path:
    """Make a layer; names are without their slashes and dots."""
    layer = folder / "layer.tar"
    with tarfile.open(layer, mode) as packed:  # type: ignore[call-overload]
        for name, content in files.items():
            file = folder / name
            file.write_bytes(content)
            packed.add(file, name.replace("__", "/").replace("DOT", "."))
    return layer


def said(folder: Path, layer: Path, *allowed: str, before: str = "") -> tuple[list[str], bool]:
    """Return what was found, and whether the layer had to be unpacked for it."""
    image = Image.parse(
        {"name": "r.example/a", "version": "1", "source": ".", "builder": "dockerfile"}
        | {"gate_allows": list(allowed)},
        path="image",
    )
    work, keys = folder / "work", folder / "keys"
    work.mkdir()
    keys.mkdir()
    given = patterns(image, {"key": Secret(KEY)}, "")
    text = (
        f"set -u; work={work} keys={keys}\n{given}{GATE}{before}\n"
        'mkdir() { echo "$1" >>"$work/made"; command mkdir "$@"; }\n'
        f"gate_works || exit 9\nrm -f {work}/made\ngate_archive {layer}\n"
    )
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines()), (work / "made").exists()


@pytest.mark.parametrize("mode", [PLAIN, PACKED])
def test_what_is_planted_in_a_layer_is_found_with_its_path(tmp_path: Path, mode: str) -> None:
    layer = archive(
        tmp_path,
        mode,
        etc__motd=b"hello\n",
        srv__key=b"\0\1\n" + KEY.encode() + b"\0",
        opt__token=f"x={TOKEN}".encode(),
        root__DOTnetrc=b"machine",
    )
    found, unpacked = said(tmp_path, layer)
    assert found == [
        "/opt/token: holds what looks like a token",
        "/root/.netrc: such a file holds logins",
        "/srv/key: holds a secret of this build",
    ]
    assert unpacked


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("srv__key", KEY.encode()),
        ("opt__token", TOKEN.encode()),
        ("root__DOTnetrc", b"machine"),
    ],
    ids=["secret", "token", "file"],
)
def test_one_alone_is_found_too(tmp_path: Path, name: str, content: bytes) -> None:
    found, _ = said(tmp_path, archive(tmp_path, PACKED, **{name: content}))
    assert len(found) == 1


def test_a_layer_without_any_is_read_and_not_unpacked(tmp_path: Path) -> None:
    files = {f"usr__lib__{number}": secrets.token_bytes(2000) for number in range(20)}
    assert said(tmp_path, archive(tmp_path, PACKED, **files)) == ([], False)


def test_what_is_allowed_is_no_finding(tmp_path: Path) -> None:
    layer = archive(tmp_path, PLAIN, app__tests__token=TOKEN.encode())
    assert said(tmp_path, layer, "app/tests/*") == ([], True)


def test_what_cannot_be_searched_as_one_is_searched_file_by_file(tmp_path: Path) -> None:
    layer = archive(tmp_path, PLAIN, opt__token=TOKEN.encode())
    # As it ends where a line is too long for the memory.
    broken = 'grep() { case $1 in -qa) return 2 ;; esac; command grep "$@"; }'
    found, _ = said(tmp_path, layer, before=broken)
    assert found == ["/opt/token: holds what looks like a token"]
