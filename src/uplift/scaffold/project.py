"""Write the files of a new project."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import uplift
from uplift.spec.errors import UpliftError, UsageError

_PACKAGE = Path(uplift.__file__).parent
_OWN = _PACKAGE / "scaffold" / "own"
# Where the shared files stand in a wheel, and in a checkout.
_SHARED = (_PACKAGE / "scaffold" / "files", _PACKAGE.parents[1])

# Patterns in the repository; its lab is no part of anybody's project.
_PATTERNS = (
    "config.py",
    "deploys/*.py",
    "group_data/*.py",
    "inventories/*.py",
    "inventories/known_hosts",
    "templates/*.j2",
    "templates/installers/*.txt",
    "tests/verify/*.py",
)
_LAB = (
    *(f"group_data/{name}.py" for name in ("console_apps", "console_builders")),
    *(f"group_data/{name}.py" for name in ("lab", "lab_services")),
    *(f"inventories/{name}.py" for name in ("console", "lab")),
)

# Names under which the files of own/ are written; a dot file would be left out of packages.
_RENAMED = {"gitignore": ".gitignore", "test_site.py": "tests/verify/test_site.py"}


def contents() -> dict[str, str]:
    """Return the files of a new project, by their path in it.

    Raises:
        UpliftError: the installation lacks them.
    """
    files = {_RENAMED.get(file.name, file.name): file for file in _OWN.iterdir() if file.is_file()}
    files |= _shared()
    version = metadata.version("pyinfra-uplift")
    return {
        path: files[path].read_text(encoding="utf-8").replace("@VERSION@", version)
        for path in sorted(files)
    }


def _shared() -> dict[str, Path]:
    for root in _SHARED:
        if (root / "config.py").is_file():
            found = [file for pattern in _PATTERNS for file in sorted(root.glob(pattern))]
            by_path = {file.relative_to(root).as_posix(): file for file in found}
            return {path: file for path, file in by_path.items() if path not in _LAB}
    raise UpliftError(
        "this installation of uplift has no example files: install it again "
        "(pip install --force-reinstall pyinfra-uplift)"
    )


def create(folder: Path) -> list[Path]:
    """Write a new project, and never over anything.

    Args:
        folder: is made; it may be there when it is empty, or holds a fresh git repository.

    Returns:
        The files that were written, relative to the folder.

    Raises:
        UsageError: there is something in the folder.
    """
    _check_empty(folder)
    files = contents()
    try:
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise UpliftError(f"{error.filename or folder}: {error.strerror or error}") from None
    return [Path(path) for path in files]


def _check_empty(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder that is empty or not there yet")
    there = sorted(entry.name for entry in folder.iterdir() if entry.name != ".git")
    if there:
        shown = ", ".join(there[:5]) + (", …" if len(there) > 5 else "")
        raise UsageError(
            f"{folder} is not empty ({shown}): nothing was written.\n"
            "Name a folder that is empty or not there yet, and copy what you need from it."
        )
