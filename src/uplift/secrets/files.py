"""Files that only their owner may read, written whole."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from uplift.secrets.errors import SecretsError
from uplift.spec.errors import Exit, UpliftError

FOLDER = ".uplift"

KEY_VARIABLE = "UPLIFT_FINGERPRINT_KEY"
"""Environment variable with a key for fingerprints that several machines share, in hex."""


class LockedError(UpliftError):
    """Report that another process is changing the same secrets."""

    exit_code = Exit.LOCKED


def read_private(path: Path) -> bytes:
    """Read a file that must not be open to others.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: there is none.
        SecretsError: group or others may read or write it, or it is no file.
    """
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise SecretsError(f"{path} is not a regular file")
        if mode & 0o077:
            raise SecretsError(
                f"{path} is open to other users (mode {stat.S_IMODE(mode):04o}).\n"
                f"Close it: chmod 600 {path}"
            )
        return file.read()


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file so that nobody else reads it and nobody sees half of it.

    Args:
        path: of the file; a folder that is missing is made, closed to others.
        content: all of it.
        mode: permissions; 0600 unless the content is encrypted or public.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = _part(path, content, mode)
    try:
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_once(path: Path, content: bytes) -> bytes:
    """Write a private file unless there is one, and return what is there.

    Args:
        path: of the file.
        content: all of it, when it is the first.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = _part(path, content, 0o600)
    try:
        # A link, other than a rename, never replaces: of two writers the first one wins.
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink()
    return read_private(path)


def _part(path: Path, content: bytes, mode: int) -> Path:
    """Write the content beside its place; mkstemp makes the file closed from the start."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink()
        raise
    return Path(name)


def fingerprint_key() -> bytes:
    """Return the project's key for fingerprints of secrets, made when there is none.

    It never leaves the controller, so that nobody can test guesses against a fingerprint. Where
    several machines shall understand each other's fingerprints (a plan that another one carries
    out), ``UPLIFT_FINGERPRINT_KEY`` gives all of them the same one.

    Raises:
        SecretsError: the variable holds no key.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given is not None:
        try:
            key = bytes.fromhex(given)
        except ValueError:
            key = b""
        if len(key) < 16:
            msg = f"{KEY_VARIABLE} is to hold a key: make one with `openssl rand -hex 32`"
            raise SecretsError(msg)
        return key
    path = Path.cwd() / FOLDER / "fingerprint.key"
    try:
        return read_private(path)
    except FileNotFoundError:
        return write_once(path, secrets.token_bytes(32))


def fact_salt() -> str:
    """Return what a host puts before a secret's content when it hashes it for a fact.

    Nobody can look such a hash up elsewhere; two reads of the same content are equal.
    """
    return hmac.new(fingerprint_key(), b"facts", hashlib.sha256).hexdigest()[:32]


@contextlib.contextmanager
def locked(folder: Path, what: str, *, wait: float = 0) -> Iterator[None]:
    """Keep other processes from changing the same file.

    Args:
        folder: the project's.
        what: name of the lock.
        wait: seconds for the other one to finish.

    Raises:
        LockedError: another process still holds it.
    """
    path = folder / FOLDER / f"{what}.lock"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _acquired(descriptor, wait):
            raise LockedError(f"another process is changing {what}: try again when it is done")
        yield
    finally:
        os.close(descriptor)


def _acquired(descriptor: int, wait: float) -> bool:
    end = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)
        else:
            return True
