"""How the content of a file would change, for people, without what is nobody else's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

LARGEST = 64 * 1024
"""Bytes of a file that is shown."""

SHOWN = 40
"""Lines of one difference."""


@dataclass(frozen=True)
class File:
    """A file as it is, or shall be.

    Args:
        content: its first bytes, one more than ``LARGEST`` where it is larger.
        public: every user of the host may read it.
    """

    content: bytes
    public: bool


def difference(path: str, before: File | None, after: File, secrets: Iterable[str]) -> str:
    """Return what would change in a file, in lines.

    Args:
        path: on the host.
        before: as it is; None when there is none.
        after: as it shall be.
        secrets: values of which none may be shown.
    """
    head = f"{path}: {'modified' if before else 'created'}"
    old = before or File(b"", public=True)
    if old.content == after.content and before:
        return f"{path}: its rights alone"
    if reason := _hidden(old, after, secrets):
        return f"{head}; not shown: {reason}"
    now, then = (one.content.decode().splitlines() for one in (old, after))
    found = list(difflib.unified_diff(now, then, n=2, lineterm=""))[2:]
    more = [f"  … {len(found) - SHOWN} more lines"] if len(found) > SHOWN else []
    return "\n".join([head, *(f"  {line}" for line in found[:SHOWN]), *more])


def _hidden(old: File, new: File, secrets: Iterable[str]) -> str:
    both = (old.content, new.content)
    if not (old.public and new.public):
        return "not every user of the host may read it"
    if any(len(content) > LARGEST for content in both):
        return f"larger than {LARGEST // 1024} KiB"
    try:
        texts = [content.decode() for content in both]
    except UnicodeDecodeError:
        return "no text"
    if any("\0" in text for text in texts):
        return "no text"
    values = {"PRIVATE KEY-----", *(line for value in secrets for line in value.splitlines())}
    if any(value in text for text in texts for value in values if value.strip()):
        return "a secret stands in it"
    return ""


def public(mode: object) -> bool | None:
    """Tell whether every user may read a file of this mode; None when none is given.

    Args:
        mode: as operations of pyinfra take it, ``644`` or ``"0644"``.
    """
    if mode is None:
        return None
    text = str(mode)
    # In letters it depends on what was there.
    return bool(int(text, 8) & 0o004) if text.isdigit() and not set(text) & set("89") else False
