"""What goes into a build, as a tar file, and the hash that stands for it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

CA_FOLDER = Path("/usr/local/share/ca-certificates")


@dataclass(frozen=True)
class Entry:
    """One file of a build context.

    Args:
        name: path in the context.
        content: its bytes, or the file that holds them.
        executable: whether it may be run.
    """

    name: str
    content: bytes | Path
    executable: bool = False


def recipe_files(folder: str) -> list[Entry]:
    """Read the files of a recipe from the package, sorted by name."""
    root = files("uplift.lab.images") / "recipes" / folder
    return sorted(_walk(root, ""), key=lambda entry: entry.name)


def _walk(folder: Traversable, prefix: str) -> Iterator[Entry]:
    for child in folder.iterdir():
        name = f"{prefix}{child.name}"
        if child.is_dir():
            yield from _walk(child, f"{name}/")
        else:
            content = child.read_bytes()
            yield Entry(name, content, executable=content.startswith(b"#!"))


def extra_ca(folder: Path = CA_FOLDER) -> list[Entry]:
    """Read the controller's extra CA certificates (of a TLS-inspecting proxy, say)."""
    return [
        Entry(f"ca/{path.relative_to(folder)}", path.read_bytes())
        for path in sorted(folder.rglob("*.crt"))
    ]


def fingerprint(entries: Iterable[Entry], args: Mapping[str, str], base: str) -> str:
    """Hash the inputs of an image.

    Args:
        entries: files of the recipe, in a fixed order; all with their bytes at hand.
        args: build arguments and versions.
        base: hash of the base image's own inputs, or an empty string.
    """
    digest = hashlib.sha256()
    for entry in entries:
        content = entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()
        for part in (entry.name.encode(), content, b"x" if entry.executable else b"-"):
            digest.update(len(part).to_bytes(8, "big") + part)
    for key, value in sorted(args.items()):
        digest.update(f"{key}={value}\n".encode())
    digest.update(base.encode())
    return digest.hexdigest()


def write_tar(target: Path, entries: Iterable[Entry], folders: Iterable[str] = ()) -> None:
    """Write a build context whose bytes do not depend on when or by whom it is written.

    Args:
        target: the tar file.
        entries: its files.
        folders: folders that must exist even when no file is in them.
    """
    with tarfile.open(target, "w") as tar:
        for folder in folders:
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for entry in entries:
            _add(tar, entry)


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.mode = 0o755 if entry.executable else 0o644
    if isinstance(entry.content, bytes):
        info.size = len(entry.content)
        tar.addfile(info, io.BytesIO(entry.content))
        return
    info.size = entry.content.stat().st_size
    with entry.content.open("rb") as handle:
        tar.addfile(info, handle)
