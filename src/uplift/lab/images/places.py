"""Where images are made: the cache, one lock an image, and folders that clean up after a kill."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from uplift.spec.errors import UpliftError

Report = Callable[[str], None]

WORK_PREFIX = "uplift-lab-"
WORK_ROOT = Path("/var/tmp")  # noqa: S108 - on disk, and mkdtemp makes the folders below it private
OWNER = "owner.lock"  # held by the process that works in the folder
LOCK_LIMIT = 3600.0
LOCK_POLL = 0.5


def cache_dir() -> Path:
    """Give the user's cache folder of uplift, made when missing."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(root) / "uplift"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def lock(name: str, report: Report, limit: float = LOCK_LIMIT) -> Iterator[None]:
    """Hold the lock of one image; the kernel gives it back when the process dies.

    Args:
        name: what is locked.
        report: told once when another process holds the lock.
        limit: seconds to wait for the other process.

    Raises:
        UpliftError: the other process did not finish in time.
    """
    folder = cache_dir() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.lock").open("a") as handle:
        _wait_for_lock(handle.fileno(), name, report, limit)
        yield


def _wait_for_lock(descriptor: int, name: str, report: Report, limit: float) -> None:
    end = time.monotonic() + limit
    told = False
    while not _try_lock(descriptor):
        if not told:
            report(f"{name}: another process is making it, waiting")
            told = True
        if time.monotonic() > end:
            raise UpliftError(f"{name}: another process has held its lock for {limit:.0f} s.")
        time.sleep(LOCK_POLL)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def work_folder(report: Report, root: Path = WORK_ROOT) -> Iterator[Path]:
    """Give an empty folder for one build, and remove those that killed processes left.

    Args:
        report: told about each left folder that is removed.
        root: the folder that holds them.
    """
    with lock("work", report):  # so that nobody takes a new folder for a left one
        for left in left_folders(root):
            report(f"removing {left}, left by an interrupted build")
            remove_tree(left)
        folder = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=root))
        owner = (folder / OWNER).open("w")
        _try_lock(owner.fileno())
    with owner:
        try:
            yield folder
        finally:
            remove_tree(folder)


def left_folders(root: Path = WORK_ROOT) -> list[Path]:
    """List the work folders whose process is gone."""
    return [folder for folder in sorted(root.glob(f"{WORK_PREFIX}*")) if _is_left(folder)]


def _is_left(folder: Path) -> bool:
    if not folder.is_dir() or folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        return False
    try:
        with (folder / OWNER).open("r+") as owner:
            return _try_lock(owner.fileno())
    except FileNotFoundError:  # killed before it locked, or somebody else's
        return not any(folder.iterdir())


def remove_tree(folder: Path) -> None:
    """Remove a work folder; refuse while something is mounted below it.

    Raises:
        UpliftError: a mount (of an interrupted debootstrap) is still there.
    """
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [mount for mount in mounts if mount.startswith(f"{folder}/")]
    if below:
        raise UpliftError(f"{folder}: not removed, unmount these first: {' '.join(below)}")
    # The lock file goes last: without it nobody would know the rest as left over.
    for entry in sorted(folder.iterdir(), key=lambda path: path.name == OWNER):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    folder.rmdir()
