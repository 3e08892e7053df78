"""The files that the settings want published: built, found or copied, each with its hashes."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from uplift.index import build, older
from uplift.spec.errors import Problem, SettingsError, UpliftError
from uplift.spec.packages import Artifact, Package, Packages, named
from uplift.spec.packages.artifact import STRONGEST, default_tag, is_plain, npm_named
from uplift.spec.packages.artifact import same_project as same

_MANIFEST = "package/package.json"

_BUILT: dict[tuple[Path, Package, str], tuple[Artifact, ...]] = {}
"""What this process has built: every host of a run asks for the same."""

_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Kept until the process ends: the files are sent from there."""


def collect(
    settings: Packages, names: Sequence[str] = (), *, progress: Callable[[str], None] | None = None
) -> tuple[Artifact, ...]:
    """Return the files of all packages, in the order of the settings.

    Args:
        settings: the block.
        names: of packages; all when empty.
        progress: is called with the name of each package, before it is built.

    Raises:
        SettingsError: a folder or a file that the settings name is not there.
        UpliftError: a build failed, or made something else than the settings say.
    """
    chosen = [one for one in settings.publish if not names or one.name in names]
    check(chosen)
    found: list[Artifact] = []
    for package in chosen:
        format = settings.repository(package).format
        key = (Path.cwd(), package, format)
        if key not in _BUILT:
            if progress:
                progress(package.name)
            _BUILT[key] = tuple(_artifacts(package, format, settings.max_size))
        found += _BUILT[key]
    _distinct(found)
    return tuple(found)


def check(packages: Iterable[Package]) -> None:
    """Refuse settings that name what is not on this machine.

    Args:
        packages: of the block.

    Raises:
        SettingsError: everything that is missing.
    """
    problems = []
    for number, package in enumerate(packages):
        path = f"packages.publish[{number}] ({package.name})"
        if package.source and not _manifests(Path(package.source).expanduser()):
            text = f"{package.source}: no such folder, or no pyproject.toml or package.json in it"
            problems.append(Problem(f"{path}.source", text))
        for word in package.files:
            if not _files(word):
                problems.append(Problem(f"{path}.files", f"{word}: no such file: build it first"))
        constraints = package.build_constraints
        if constraints and not Path(constraints).expanduser().is_file():
            problems.append(Problem(f"{path}.build_constraints", f"{constraints}: no such file"))
    if problems:
        raise SettingsError(problems)


def _manifests(source: Path) -> list[Path]:
    names = ("pyproject.toml", "setup.py", "package.json")
    return [source / name for name in names if (source / name).is_file()]


def _files(word: str) -> list[Path]:
    """Return the files that a word of the settings means, sorted."""
    path = Path(word).expanduser()
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
    pattern = str(path.relative_to(path.anchor))
    return sorted(file for file in Path(path.anchor).glob(pattern) if file.is_file())


def _artifacts(package: Package, format: str, max_size: int) -> list[Artifact]:
    found = [
        _artifact(package, format, file, max_size) for file in sorted(_origin(package, format))
    ]
    if not found:
        raise UpliftError(f"{package.name}: there is nothing to publish in it")
    wrong = sorted({one.project for one in found if not _belongs(package, one)})
    if wrong:
        msg = (
            f"{package.name}: its source builds {', '.join(wrong)}: give the entry of the settings "
            "the package's own name"
        )
        raise UpliftError(msg)
    return found


def _belongs(package: Package, artifact: Artifact) -> bool:
    if package.source is None:
        return True
    return package.name == artifact.project or same(package.name, artifact.project)


def _origin(package: Package, format: str) -> list[Path]:
    if package.files:
        return [file for word in package.files for file in _files(word)]
    target = _folder()
    if package.source:
        make = build.npm if format == "npm" else build.python
        make(package, Path(package.source).expanduser().resolve(), target)
    else:
        older.copy(package, target)
    return list(target.iterdir())


def _folder() -> Path:
    made = tempfile.TemporaryDirectory(prefix="uplift-packages-")
    _FOLDERS.append(made)
    return Path(made.name)


def _artifact(package: Package, format: str, file: Path, max_size: int) -> Artifact:
    size = file.stat().st_size
    if size > max_size * 1_000_000:
        msg = (
            f"{package.name}: {file.name} has {size / 1_000_000:.1f} MB, more than "
            f"packages.max_size = {max_size} allows"
        )
        raise UpliftError(msg)
    project, version = _identity(package, format, file)
    tag = (package.tag or default_tag(version)) if format == "npm" else ""
    where = (package.name, package.repository, project, version, file.name)
    return Artifact(*where, file, size, hashes(file), tag, package.replace)


def _identity(package: Package, format: str, file: Path) -> tuple[str, str]:
    """Return the project and the version that a file is of."""
    if not is_plain(file.name):
        msg = f"{package.name}: {file.name}: a file to publish is named by letters, digits, ._@+-"
        raise UpliftError(msg)
    if format == "raw":
        return package.path + file.name, ""
    if format == "npm":
        try:
            return npm_named(_manifest(file))
        except (ValueError, KeyError, OSError, tarfile.TarError) as error:
            what = error if isinstance(error, ValueError) else "this is no package of npm"
            raise UpliftError(f"{package.name}: {file.name}: {what}") from None
    found = named(file.name)
    if found is None:
        msg = (
            f"{package.name}: {file.name}: this is no wheel and no source distribution with a "
            "name that an index takes"
        )
        raise UpliftError(msg)
    return found


def _manifest(file: Path) -> Any:
    with tarfile.open(file, "r:gz") as archive:
        member = archive.extractfile(_MANIFEST)
        if member is None:
            raise KeyError(_MANIFEST)
        with member:
            return json.loads(member.read(1_000_000))


def hashes(file: Path) -> dict[str, str]:
    """Return the hashes of a file, by every algorithm that an index may name."""
    makers = {name: hashlib.new(name, usedforsecurity=False) for name in STRONGEST}
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            for maker in makers.values():
                maker.update(piece)
    return {name: maker.hexdigest() for name, maker in makers.items()}


def _distinct(artifacts: Iterable[Artifact]) -> None:
    """Refuse two files that would be served under one name."""
    seen: dict[tuple[str, str, str], Artifact] = {}
    for one in artifacts:
        key = (one.repository, one.project, one.file)
        if key in seen:
            msg = f"{one}: it is listed twice, under {seen[key].package} and {one.package}"
            raise UpliftError(msg)
        seen[key] = one
