"""The journal of a run: written before and after each step, on the disk before it goes on."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from uplift.spec.base import near_miss
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.rollout.journal import FORMAT, HostStep, Kind, Run, TornError, replayed

RUNS = Path(".uplift/runs")
LAST = "last"
_FILE = "journal.jsonl"


class RunsElsewhereError(UpliftError):
    """Report that another process is carrying out a run."""

    exit_code = Exit.LOCKED


class UnwrittenError(UpliftError):
    """Report a record that could not be written: no step is taken without one."""

    exit_code = Exit.HELD


class Journal:
    """The records of one run, in a file that only grows.

    ``with Journal.begin(request) as journal`` starts a new one, ``Journal.open(run)`` goes on with
    one that is there; only one process at a time has it.

    Args:
        folder: of the run.
        tell: is called with each record once it is on the disk.
    """

    def __init__(self, folder: Path, tell: Callable[[Mapping[str, Any]], None]) -> None:
        self.folder = folder
        self._tell = tell
        self._file = (folder / _FILE).open("r+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise RunsElsewhereError(
                f"another process is carrying out the run {folder.name}: Ctrl-C there holds it"
            ) from None
        # Not before: the process that had it may have written more until it gave it back.
        whole = _whole_lines(folder / _FILE)
        # A kill may leave half a line, which no step has relied on.
        self._file.truncate(len(whole))
        self._file.seek(0, os.SEEK_END)
        self.run = Run() if not whole else _replayed(folder, whole)

    @classmethod
    def begin(
        cls,
        request: Mapping[str, Any],
        tell: Callable[[Mapping[str, Any]], None],
        root: Path = RUNS,
        files: Mapping[str, str] | None = None,
    ) -> Self:
        """Start the journal of a new run.

        Args:
            request: what is asked for, as plain data without secrets.
            tell: is called with each record once it is on the disk.
            root: folder of all runs.
            files: that the run needs beside its journal, by name: there before it has begun.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        folder = root / f"{stamp}-{secrets.token_hex(2)}"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        for name, text in {**(files or {}), _FILE: ""}.items():
            _new_file(folder / name, text)
        _sync_folder(folder)
        journal = cls(folder, tell)
        journal.write("begun", format=FORMAT, run=folder.name, request=dict(request))
        return journal

    @classmethod
    def open(cls, run: str, tell: Callable[[Mapping[str, Any]], None], root: Path = RUNS) -> Self:
        """Go on with the journal of a run.

        Args:
            run: its id, the beginning of it, or ``last``.
            tell: is called with each new record.
            root: folder of all runs.

        Raises:
            UsageError: there is no such run, or it was killed before it had begun.
            RunsElsewhereError: another process has it.
        """
        journal = cls(found(run, root, refused=False), tell)
        if not journal.run.id:
            journal._file.close()
            raise UsageError(
                f"{journal.folder.name} was killed before it had begun, and nothing was touched: "
                "there is nothing to go on with"
            )
        return journal

    def write(self, kind: Kind, **facts: Any) -> None:
        """Write one record, and come back when it is on the disk.

        Args:
            kind: of the record.
            facts: plain data without secrets.

        Raises:
            UnwrittenError: the disk is full, or broken.
        """
        self._write([{"kind": kind, **facts}])

    def write_each(self, kind: HostStep, hosts: Iterable[str]) -> None:
        """Write the same step of some hosts, and come back when all of it is on the disk.

        The disk is waited for once: 200 hosts would wait for seconds.

        Args:
            kind: of the records.
            hosts: names, one record each.

        Raises:
            UnwrittenError: the disk is full, or broken; none of them was told.
        """
        self._write([{"kind": kind, "host": name} for name in hosts])

    def _write(self, facts: Sequence[Mapping[str, Any]]) -> None:
        at = round(time.time(), 3)
        records = [{"kind": one["kind"], "at": at, **one} for one in facts]
        following = self.run
        for record in records:
            following = following.following(record)
        lines = [json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records]
        self._put(b"".join(lines))
        self.run = following
        for record in records:
            self._tell(record)

    def _put(self, line: bytes) -> None:
        size = self._file.tell()
        try:
            written = 0
            # A disk that gets full takes a part and says so by the count alone.
            while written < len(line):
                written += self._file.write(line[written:])
            os.fsync(self._file.fileno())
        except OSError as error:
            # Half a line in the middle would make the rest unreadable.
            self._file.truncate(size)
            self._file.seek(size)
            raise UnwrittenError(f"{self.folder / _FILE}: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def found(run: str, root: Path = RUNS, *, refused: bool = True) -> Path:
    """Return the folder of a run.

    Args:
        run: its id, the beginning of it, or ``last``.
        root: folder of all runs.
        refused: the last one may be one that was refused: there is nothing to go on with in it, and
            the one before may wait for that.

    Raises:
        UsageError: there is none, or there are several.
    """
    names = sorted(path.parent.name for path in root.glob(f"*/{_FILE}"))
    if not names:
        raise UsageError(f"no run is recorded in {root} (seen from {Path.cwd()})")
    if run == LAST:
        newest = (root / name for name in reversed(names))
        wanted = (one for one in newest if refused or not _was_refused(one))
        return next(wanted, root / names[-1])
    matching = [run] if run in names else [name for name in names if name.startswith(run)]
    if len(matching) == 1:
        return root / matching[0]
    if matching:
        raise UsageError(f"{run!r} is the beginning of {len(matching)} runs: {', '.join(matching)}")
    guess = near_miss(run, names)
    hint = f" Did you mean {guess}?" if guess else ""
    raise UsageError(f"there is no run {run!r}.{hint} uplift history lists them")


def _was_refused(folder: Path) -> bool:
    try:
        return read(folder).outcome == "refused"
    except UpliftError:
        return False  # it cannot be read, and whoever opens it is told so


def read(folder: Path) -> Run:
    """Return what the journal of a run tells, without taking it.

    Args:
        folder: of the run.

    Raises:
        UpliftError: it is no journal.
    """
    return _replayed(folder, _whole_lines(folder / _FILE))


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a run.

    Args:
        folder: of the run.
    """
    for line in _whole_lines(folder / _FILE).splitlines():
        yield json.loads(line)


def all_runs(root: Path = RUNS) -> tuple[list[Run], list[str]]:
    """Return every run that is recorded here, the newest first, and what could not be read.

    Args:
        root: folder of all runs.
    """
    runs, problems = [], []
    for folder in sorted((path.parent for path in root.glob(f"*/{_FILE}")), reverse=True):
        try:
            if _whole_lines(folder / _FILE):
                runs.append(read(folder))
        except UpliftError as error:
            problems.append(str(error))
    return runs, problems


def _replayed(folder: Path, whole: bytes) -> Run:
    try:
        return replayed([json.loads(line) for line in whole.splitlines()])
    except (TornError, ValueError) as error:
        raise UpliftError(f"{folder / _FILE}: {error}") from None
    except (KeyError, AttributeError, TypeError):
        raise UpliftError(f"{folder / _FILE}: not the journal of a run") from None


def _whole_lines(file: Path) -> bytes:
    content = file.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _new_file(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    """Bring names of new files to the disk: fsync of a file does not (fsync(2))."""
    for path in (folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
