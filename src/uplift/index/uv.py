"""Which wheel of uv a host gets, what is inside it, and where it comes from."""

from __future__ import annotations

import base64
import hashlib
import struct
import threading
import zipfile
from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path
from typing import Any

from uplift.index import wheels
from uplift.index.record import Record
from uplift.spec.errors import UpliftError
from uplift.spec.uv import LINKS, Member, Release, Uv

# The index is asked once for all hosts of a run, also when it fails. Under pyinfra's command line
# this lock is gevent's, so that other hosts go on meanwhile.
_ONCE = threading.RLock()
_ANSWERS: dict[Hashable, Any] = {}

_LOCAL_HEADER = 30


def release(settings: Uv, arch: str, record: Record | None = None) -> Release:
    """Return the release of uv that a host is to have.

    With a hash from the settings or the record, and a wheel that was seen before, this asks
    nobody. Else the index is asked and the wheel fetched.

    Args:
        settings: of the host.
        arch: of the host.
        record: of this project.

    Raises:
        UpliftError: the index cannot be read, or says something else than is trusted.
    """
    record = record or Record()
    key = ("release", settings, arch, record.path.resolve())
    found: Release = _once(key, lambda: _release(settings, arch, record))
    return found


def url_for_hosts(settings: Uv, arch: str, wanted: Release) -> str | None:
    """Return an address from which a host can try to download the wheel itself.

    Args:
        settings: of the host.
        arch: of the host.
        wanted: the release.

    Returns:
        None when the controller has to send the wheel: the index is a folder of the controller,
        or does not answer while the wheel is in the controller's cache.

    Raises:
        UpliftError: the index cannot be read and the wheel is not in the cache, or the index has
            another wheel now.
    """
    try:
        found = _find(_wanted(settings, arch))
    except UpliftError:
        if wheels.in_cache(wanted.sha256):
            return None
        raise
    _check_hash(settings, arch, wanted.sha256, found.sha256)
    return found.for_hosts


def payload(settings: Uv, arch: str, wanted: Release) -> tuple[str, ...]:
    """Return the wheel as lines of base64, for hosts that cannot download it.

    Args:
        settings: of the host.
        arch: of the host.
        wanted: the release.

    Raises:
        UpliftError: the wheel cannot be had.
    """
    fetch = wheels.fetch
    path: Path = _once(
        ("wheel", wanted.sha256), lambda: fetch(_wanted(settings, arch), wanted.sha256)
    )
    return _encoded(path)


def read_wheel(path: Path, version: str, sha256: str) -> Release:
    """Return where the binaries are inside a wheel.

    Args:
        path: of the wheel.
        version: of uv.
        sha256: of the wheel.

    Raises:
        UpliftError: the wheel is not one of this version of uv.
    """
    try:
        with zipfile.ZipFile(path) as wheel:
            found = {
                name: _member(wheel, path, f"uv-{version}.data/scripts/{name}") for name in LINKS
            }
    except (KeyError, zipfile.BadZipFile) as error:
        message = f"{path.name}: this is no wheel of uv {version}: {error}"
        raise UpliftError(message) from None
    return Release(version, path.name, sha256, path.stat().st_size, found)


def _release(settings: Uv, arch: str, record: Record) -> Release:
    given = getattr(settings.sha256, arch, None)
    sha256 = given or record.trusted(settings.version, arch)
    known = record.release(sha256) if sha256 else None
    if known is None:
        wanted = _wanted(settings, arch)
        found = _find(wanted)
        _check_hash(settings, arch, sha256, found.sha256)
        path = wheels.fetch(wanted, sha256 or found.sha256)
        known = read_wheel(path, settings.version, path.parent.name)
        record.remember(known)
    if known.version != settings.version:
        message = (
            f"uv.sha256.{arch}: this is the sha256 of uv {known.version}, "
            f"but uv.version is {settings.version}: change both together"
        )
        raise UpliftError(message)
    if not given:
        record.trust(settings.version, arch, known.sha256)
    return known


def _wanted(settings: Uv, arch: str) -> wheels.Wanted:
    # The musl build is linked statically: it runs on every distribution.
    platforms = (f"musllinux_1_1_{arch}", f"musllinux_1_2_{arch}")
    return wheels.Wanted("uv", settings.version, platforms, settings.index)


def _find(wanted: wheels.Wanted) -> wheels.Found:
    found: wheels.Found = _once(("find", wanted), lambda: wheels.find(wanted))
    return found


def _once(key: Hashable, ask: Callable[[], Any]) -> Any:
    """Return the answer to a question, or raise its error, asking only the first time."""
    with _ONCE:
        if key not in _ANSWERS:
            try:
                _ANSWERS[key] = ask()
            except UpliftError as error:
                _ANSWERS[key] = error
        answer = _ANSWERS[key]
    if isinstance(answer, UpliftError):
        raise type(answer)(str(answer))
    return answer


def _check_hash(settings: Uv, arch: str, trusted: str | None, offered: str | None) -> None:
    if not trusted or not offered or trusted == offered:
        return
    given = getattr(settings.sha256, arch, None)
    source = f"the settings (uv.sha256.{arch})" if given else "this project's .uplift/uv.json"
    message = (
        f"uv {settings.version} for {arch}: the index offers another file than is trusted.\n"
        f"trusted, from {source}: {trusted}\n"
        f"offered by the index: {offered}\n"
        "A released file never changes: find out which of the two is right. If it is the "
        f"index's, write it into the settings as uv.sha256.{arch}."
    )
    raise UpliftError(message)


def _member(wheel: zipfile.ZipFile, path: Path, name: str) -> Member:
    info = wheel.getinfo(name)
    with path.open("rb") as raw:
        raw.seek(info.header_offset + 26)
        # The lengths of name and extra field differ between this header and the directory.
        skip = sum(struct.unpack("<HH", raw.read(4)))
    with wheel.open(info) as binary:
        sha256 = hashlib.file_digest(binary, "sha256").hexdigest()  # type: ignore[arg-type]
    return Member(
        offset=info.header_offset + _LOCAL_HEADER + skip,
        length=info.compress_size,
        method=info.compress_type,
        crc32=info.CRC,
        size=info.file_size,
        sha256=sha256,
    )


@cache
def _encoded(path: Path) -> tuple[str, ...]:
    # In pieces, and once for all hosts: pyinfra encodes and sends them one by one.
    with path.open("rb") as file:
        pieces = iter(lambda: file.read(48 * 1024), b"")
        return tuple(base64.b64encode(piece).decode() + "\n" for piece in pieces)
