"""What stands at a path of a host: owner, mode and content, by plain commands."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host

PIPE_SIZE = 65536


@dataclass(frozen=True)
class Stat:
    """What ``stat`` says of a path, without following a link.

    Args:
        kind: as ``regular file``, ``directory`` or ``symbolic link``.
        mode: permission bits.
        owner: name of the user.
        group: name of the group.
    """

    kind: str
    mode: int
    owner: str
    group: str

    @property
    def is_private(self) -> bool:
        """Tell whether group and others may do nothing with it."""
        return not self.mode & 0o077

    @property
    def is_safe(self) -> bool:
        """Tell whether only the owner may change it."""
        return not self.mode & 0o022


def stat(host: Host, path: str) -> Stat | None:
    """Return what stands at a path, or None.

    Args:
        host: testinfra's.
        path: on the host.
    """
    said = host.run("LC_ALL=C stat -c '%%a|%%U|%%G|%%F' -- %s", path)
    if said.rc != 0:
        assert "No such file" in said.stderr, said.stderr
        return None
    mode, owner, group, kind = said.stdout.strip().split("|")
    return Stat(kind.replace("regular empty file", "regular file"), int(mode, 8), owner, group)


def rights(host: Host, path: str) -> str:
    """Return mode, owner and group of a path as ``755 root:root``, or ``absent``.

    Args:
        host: testinfra's.
        path: on the host.
    """
    found = stat(host, path)
    return f"{found.mode:o} {found.owner}:{found.group}" if found else "absent"


def read(host: Host, path: str) -> str:
    """Return a file's text.

    Args:
        host: testinfra's.
        path: on the host.
    """
    said = host.run("cat -- %s", path)
    assert said.rc == 0, said.stderr
    return str(said.stdout)


def certificates(pem: str) -> set[str]:
    """Return the certificates of a PEM text in one form, so that they can be compared.

    Args:
        pem: of one or more certificates, with anything between them.
    """
    pattern = r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----"
    return {re.sub(r"\s", "", body) for body in re.findall(pattern, pem, re.DOTALL)}


@contextmanager
def as_path(text: str) -> Iterator[str]:
    """Give a path that can be read once, for a library that reads only files.

    A pipe, so that what may be secret never stands on a disk.

    Args:
        text: what it gives; less than the 64 kB that a pipe holds.

    Raises:
        ValueError: the text is longer.
    """
    content = text.encode()
    if len(content) > PIPE_SIZE:
        msg = f"longer than {PIPE_SIZE} bytes"
        raise ValueError(msg)
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(content)
        yield f"/dev/fd/{reader}"
    finally:
        os.close(reader)
