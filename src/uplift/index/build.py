"""Build packages on the controller, so that the same source gives the same bytes every time."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from uplift.spec.errors import UpliftError
from uplift.spec.packages import Package

TIME_LIMIT = 900

# The date of all files in an archive: that of a checkout or of a commit would give other bytes for
# the same content. Seconds since 1970; 2020-02-02, what hatchling takes when nothing is said.
_EPOCH = "1580601600"
_SHOWN_LINES = 12


def python(package: Package, source: Path, target: Path) -> None:
    """Build wheel and source distribution of a folder with ``uv build``.

    Sources of a workspace (``tool.uv.sources``) are left out: what is published has to be built
    from what is published.

    Args:
        package: what is built from it.
        source: folder with a ``pyproject.toml``.
        target: folder for the files.

    Raises:
        UpliftError: uv is missing, or the build failed; with the end of what it said.
    """
    words = [_uv(), "build", "--no-sources", "--no-create-gitignore", "--out-dir", str(target)]
    words += [f"--{one}" for one in package.targets]
    if package.build_constraints:
        words += ["--build-constraints", str(Path(package.build_constraints).expanduser())]
    _run(package, [*words, str(source)])


def npm(package: Package, source: Path, target: Path) -> None:
    """Pack a folder with ``npm pack``, and order what it packed.

    Args:
        package: of the settings.
        source: folder with a ``package.json``.
        target: folder for the file.

    Raises:
        UpliftError: npm is missing, or it failed; with the end of what it said.
    """
    found = shutil.which("npm")
    if found is None:
        msg = (
            f"{package.name}: npm is not installed on this machine, which packs {source}: install "
            "it (Debian: apt install npm), or pack elsewhere and name the .tgz under 'files'"
        )
        raise UpliftError(msg)
    _run(package, [found, "pack", "--silent", "--pack-destination", str(target)], folder=source)
    for file in target.glob("*.tgz"):
        ordered(file)


def ordered(file: Path) -> None:
    """Write an archive of npm anew, so that the same content is the same bytes.

    npm's order, modes and compression change from version to version; the hash in a lock file does
    not.

    Args:
        file: gzipped tar, which is replaced.
    """
    new = file.with_suffix(".new")
    with (
        tarfile.open(file) as old,
        new.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for one in sorted(old.getmembers(), key=lambda it: it.name):
            if one.isfile():
                entry = tarfile.TarInfo(one.name)
                entry.size, entry.mtime = one.size, int(_EPOCH)
                entry.mode = 0o755 if one.mode & 0o111 else 0o644
                tar.addfile(entry, old.extractfile(one))
    new.replace(file)


def _uv() -> str:
    """Return the uv of this Python's environment, else the one on the path."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        msg = (
            "uv is not installed on this machine, which builds the packages: "
            f"{sys.executable} -m pip install uv"
        )
        raise UpliftError(msg)
    return found


def _run(package: Package, words: Sequence[str], folder: Path | None = None) -> None:
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UpliftError(f"{package.name}: not built within {TIME_LIMIT} s") from None
    if done.returncode:
        said = "\n".join(f"  {line}" for line in done.stdout.strip().splitlines()[-_SHOWN_LINES:])
        raise UpliftError(f"{package.name}: not built: exit code {done.returncode}\n{said}")


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a build may know: it runs the code of a project and of its build backend."""
    kept = {key: value for key, value in environment.items() if not key.startswith("UPLIFT_")}
    # A hash that differs in each process would order some backends' metadata.
    return {**kept, "SOURCE_DATE_EPOCH": _EPOCH, "PYTHONHASHSEED": "0"}
