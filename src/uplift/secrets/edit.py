"""Let a person edit the decrypted secrets, in memory where the machine can."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from uplift.secrets.errors import SecretsError
from uplift.secrets.files import locked
from uplift.secrets.store import Store, parse
from uplift.spec.secret import Secret

_TMPFS = 0x01021994  # f_type of statfs(2), as `stat -f -c %t` prints it
_KEPT = "secrets.age is as it was"


def edit(store: Store, again: Callable[[str], bool]) -> bool:
    """Open the decrypted secrets in an editor and write them back; say whether they changed.

    Args:
        store: of the project.
        again: asked with what is wrong with an edited text; whether to open the editor once more.

    Raises:
        SecretsError: nothing could be stored, the text is not valid, or the editor failed: the file
            stays as it was.
        LockedError: somebody else edits.
    """
    with locked(store.folder, "secrets"), _folder() as folder:
        store.check_writable()
        before = store.read()
        file = folder / "secrets.toml"
        file.touch(mode=0o600)
        file.write_text(before.reveal(), encoding="utf-8")
        while True:
            _run_editor(file)
            after = Secret(file.read_text(encoding="utf-8"))
            if after == before:
                return False
            try:
                parse(after, "the edited text")
                store.write(after)
            except SecretsError as wrong:
                if not again(str(wrong)):
                    raise SecretsError(f"{wrong}\nNothing was stored: {_KEPT}") from None
            else:
                return True


def _run_editor(file: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.run([*shlex.split(editor), str(file)]).returncode
    except FileNotFoundError:
        raise SecretsError(f"there is no editor {editor!r}: set EDITOR") from None
    if code:
        raise SecretsError(
            f"the editor {editor!r} ended with exit code {code}: nothing was changed"
        )


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder that only its owner enters and that is gone afterwards, also when killed."""
    folder = Path(tempfile.mkdtemp(prefix="uplift-secrets-", dir=_in_memory()))
    ends = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _leave) for number in ends]
    try:
        yield folder
    finally:
        # With whatever the editor left beside the file: backups, swap files.
        shutil.rmtree(folder)
        for number, handler in zip(ends, before, strict=True):
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _in_memory() -> str | None:
    """Return a folder that never reaches a disk, if there is one."""
    for place in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - mkdtemp in it
        if place and os.access(place, os.W_OK | os.X_OK) and _is_tmpfs(place):
            return place
    return None


def _is_tmpfs(place: str) -> bool:
    done = subprocess.run(
        ["stat", "-f", "-c", "%t", place], capture_output=True, text=True, timeout=10
    )
    return done.returncode == 0 and int(done.stdout, 16) == _TMPFS
