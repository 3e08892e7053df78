"""Collect what goes into images from the controller's disk."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from uplift import trust
from uplift.spec.certificates import Certificates
from uplift.spec.errors import Problem, SettingsError
from uplift.spec.images import File, Image, Images, Inputs
from uplift.spec.images.dockerfile import TEMPLATES, render, wanted
from uplift.spec.images.tokens import FILES

_LIMIT = 120  # seconds for git
# Never sent: made by tools, or holding what no image may hold.
_IGNORED = {".git", ".venv", "node_modules", "__pycache__", ".uplift", *FILES}


def collect(settings: Images) -> list[Inputs]:
    """Return all that goes into the images, in their order.

    Args:
        settings: the block.

    Raises:
        SettingsError: a file is missing, or a source cannot be built as the settings say.
    """
    return [_inputs(settings, image) for image in settings.build]


def archive(inputs: Inputs) -> bytes:
    """Return a tar of everything that a build reads, the same bytes for the same inputs.

    Args:
        inputs: of the image.
    """
    packed = io.BytesIO()
    alone = (
        ("Dockerfile", inputs.dockerfile),
        ("installer/requirements.txt", inputs.installer),
        ("authorities/authorities.pem", inputs.authorities),
    )
    files = [File(name, text.encode()) for name, text in alone]
    files += [replace(file, path=f"source/{file.path}") for file in inputs.source]
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as out:
        for folder in ("source", "installer", "authorities"):
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            out.addfile(member)
        for file in files:
            _add(out, file, inputs.epoch)
    return packed.getvalue()


def _add(out: tarfile.TarFile, file: File, epoch: int) -> None:
    member = tarfile.TarInfo(file.path)
    member.mode = 0o755 if file.executable else 0o644
    # BuildKit takes a file of the size and date that it knows for unchanged, whatever folder it is
    # in, and would build the old one: the date's nanoseconds are those of the content.
    part = int.from_bytes(hashlib.sha256(file.content).digest()[:8], "big") % 10**9
    member.pax_headers = {"mtime": f"{epoch}.{part:09d}"}
    if file.link:
        member.type, member.linkname = tarfile.SYMTYPE, os.fsdecode(file.content)
        out.addfile(member)
    else:
        member.size = len(file.content)
        out.addfile(member, io.BytesIO(file.content))


def _inputs(settings: Images, image: Image) -> Inputs:
    folder = Path(image.source).expanduser()
    if not folder.is_dir():
        raise _wrong(image, f"there is no folder {image.source} on this machine")
    revision, epoch = _revision(image, folder)
    source = sorted(_source(image, folder), key=lambda it: it.path)
    size = sum(len(file.content) for file in source)
    if size > settings.max_context * 1_000_000:
        text = f"{image.source} has {size // 1_000_000} MB, more than images.max_context allows"
        raise _wrong(image, f"{text}: keep what is built or downloaded out of git, or raise it")
    inputs = Inputs(image, "", source, revision=revision, epoch=epoch, contexts=settings.contexts)
    if image.builder == "dockerfile":
        return replace(inputs, dockerfile=_own_dockerfile(image, source))
    project = {file.path: file.content for file in source if file.path in wanted(image)}
    templates = Path(settings.templates)
    installer = image.installer or str(templates / f"installers/{image.builder}.txt")
    texts = {name: _text(image, templates / name) for name in TEMPLATES}
    return replace(
        inputs,
        dockerfile=render(image, texts, project),
        installer=_text(image, Path(installer).expanduser()),
        authorities=_authorities(image),
    )


def _authorities(image: Image) -> str:
    found = trust.certificates(Certificates(files=list(image.ca_files)))
    return "".join(one.pem for one in found)


def _own_dockerfile(image: Image, source: Iterable[File]) -> str:
    for file in source:
        if file.path == image.dockerfile:
            return file.content.decode(errors="replace")
    raise _wrong(image, f"{image.source} has no {image.dockerfile}")


def _text(image: Image, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(image, f"{file}: {getattr(error, 'strerror', None) or error}") from None


def _wrong(image: Image, text: str) -> SettingsError:
    return SettingsError([Problem("images", f"{image.name}:{image.moving}: {text}")])


def _source(image: Image, folder: Path) -> Iterator[File]:
    if image.revision:
        packed = _git(image, folder, "archive", "--format=tar", image.revision)
        yield from _unpacked(packed)
        return
    for path in _listed(folder):
        name = path.relative_to(folder)
        if _IGNORED & set(name.parts):
            continue
        if path.is_symlink() and _leads_out(path, folder):
            yield from _pointed_at(path, folder)
        elif path.is_symlink():
            yield File(name.as_posix(), os.fsencode(path.readlink()), link=True)
        elif path.is_file():
            yield _file(path, name)


def _listed(folder: Path) -> list[Path]:
    """Return the files of a folder: in a git repository its tracked and new ones, else all."""
    found = _git_or_none(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if found is None:
        return [file for file in folder.rglob("*") if file.is_symlink() or file.is_file()]
    return [folder / os.fsdecode(name) for name in set(found.split(b"\0")) if name]


def _leads_out(link: Path, folder: Path) -> bool:
    """Return whether a link leaves the source, and stays in the git repository.

    Code that two projects share is found so. What a link names elsewhere on this machine is
    nobody's source.
    """
    target = link.resolve()
    if target.is_relative_to(folder.resolve()) or _IGNORED & set(target.parts):
        return False
    top = _git_or_none(folder, "rev-parse", "--show-toplevel")
    return top is not None and target.is_relative_to(os.fsdecode(top).rstrip("\n"))


def _pointed_at(link: Path, folder: Path) -> Iterator[File]:
    """Yield what a link out of the source points to: in the build it would point to nothing."""
    at = link.relative_to(folder)
    target = link.resolve()
    if target.is_file():
        yield _file(target, at)
    elif target.is_dir():
        for file in _listed(target):
            inside = file.relative_to(target)
            if file.is_file() and not _IGNORED & set(inside.parts):
                yield _file(file, at / inside)


def _file(path: Path, name: Path) -> File:
    return File(name.as_posix(), path.read_bytes(), executable=os.access(path, os.X_OK))


def _unpacked(packed: bytes) -> Iterator[File]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as found:
        for member in found:
            if _IGNORED & set(Path(member.name).parts):
                continue
            if member.issym():
                yield File(member.name, os.fsencode(member.linkname), link=True)
            elif content := found.extractfile(member):
                yield File(member.name, content.read(), executable=bool(member.mode & 0o100))


def _revision(image: Image, folder: Path) -> tuple[str, int]:
    words = ("log", "-1", "--format=%H %ct", image.revision or "HEAD", "--")
    said = _git(image, folder, *words) if image.revision else _git_or_none(folder, *words)
    commit, _, epoch = (said or b"").decode().strip().partition(" ")
    if not image.revision and commit and _git_or_none(folder, "status", "--porcelain", "--", "."):
        commit += "-changed"
    return commit, int(epoch or 0)


def _git(image: Image, folder: Path, *words: str) -> bytes:
    found = _git_or_none(folder, *words)
    if not found:
        raise _wrong(image, f"{image.source} has no git revision {image.revision!r}")
    return found


def _git_or_none(folder: Path, *words: str) -> bytes | None:
    """Return what git says; None where the folder is in no repository, or git says no."""
    clean: Mapping[str, str] = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=dict(clean),
            timeout=_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
