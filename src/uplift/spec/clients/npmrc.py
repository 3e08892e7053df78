"""``.npmrc``: lines ``key=value`` as npm's own ``ini`` package reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from uplift.spec.clients.text import Lines

_SECTION = re.compile(r"\s*\[[^\]]*\]\s*")
_AUTH_KEYS = ("_authToken", "_auth", "username", "_password")


@dataclass(frozen=True)
class _Line:
    index: int
    key: str
    value: str


class NpmrcDocument:
    """The lines of an ``.npmrc``; what stands under a ``[section]`` is not npm's.

    Args:
        text: the file's text, empty for a new file.
        made: not used; an ``.npmrc`` has nothing that holds lines.
    """

    def __init__(self, text: str, made: set[str] | None = None) -> None:
        self.made = made or set()
        self._lines = Lines.split(text)

    def values(self) -> dict[str, str]:
        """Return the lines by key; the last one of twins counts."""
        return {line.key: line.value for line in self._entries()}

    def twins(self) -> set[str]:
        """Return the keys that stand on several lines."""
        keys = [line.key for line in self._entries()]
        return {key for key in keys if keys.count(key) > 1}

    def check(self, wanted: Mapping[str, str]) -> None:
        """Accept every file: npm skips lines that it does not understand."""

    def warnings(self, wanted: Mapping[str, str]) -> list[str]:
        """Tell of credentials without an address, for which npm refuses to work."""
        return [
            f"line {line.index + 1}: {line.key} without //host/path/: before it makes npm fail"
            for line in self._entries()
            if line.key in _AUTH_KEYS
        ]

    def put(self, key: str, value: str) -> None:
        """Set a line in its place, or add it before the first section."""
        new = f"{key}={value}{self._lines.eol}"
        found = [line.index for line in self._entries() if line.key == key]
        if not found:
            self._lines.items.insert(self._end(), new)
            return
        if len(found) > 1 or self.values()[key] != value:
            self._lines.items[found[0]] = new
        for index in reversed(found[1:]):
            del self._lines.items[index]

    def drop(self, key: str) -> None:
        """Remove every line of a key."""
        for index in reversed([line.index for line in self._entries() if line.key == key]):
            del self._lines.items[index]

    def arrange(self, keys: list[str]) -> None:
        """Leave the order: it means nothing."""

    def text(self) -> str:
        """Return the whole file."""
        return self._lines.join()

    def _end(self) -> int:
        starts = (i for i, line in enumerate(self._lines.items) if _SECTION.fullmatch(line))
        return next(starts, len(self._lines.items))

    def _entries(self) -> list[_Line]:
        found = (_parse(i, line) for i, line in enumerate(self._lines.items[: self._end()]))
        return [line for line in found if line]


def auth_keys(scope: str) -> list[str]:
    """Return the keys of all credentials of one registry address.

    npm takes the first that is there, in this order: one that is left over would win over ours.

    Args:
        scope: ``//host/path/``.
    """
    return [f"{scope}:{key}" for key in _AUTH_KEYS]


def fault(value: str) -> str | None:
    """Say why npm would not read a token as it is, or None.

    Args:
        value: the token.
    """
    if not re.fullmatch(r"[A-Za-z0-9._~+/=:@-]+", value) or value in ("true", "false", "null"):
        return (
            "npm reads it differently: only letters, digits and '._~+/=:@-' stand in an .npmrc "
            "as they are (';' and '#' begin a comment, '${…}' is replaced)"
        )
    return None


def _parse(index: int, line: str) -> _Line | None:
    if not line.strip() or line.lstrip()[0] in ";#":
        return None
    key, equals, value = line.rstrip("\r\n").partition("=")
    key = _unquote(key).removesuffix("[]")
    return _Line(index, key, _unquote(value) if equals else "true") if key else None


def _unquote(text: str) -> str:
    """Read a key or a value as npm does: quotes, escapes, and comments after the value."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return _from_json(text)
    found = re.match(r"(?:\\.|[^\\;#])*\\?", text)
    plain = found.group() if found else ""
    return re.sub(r"\\([\\;#])", r"\1", plain).strip()


def _from_json(text: str) -> str:
    inner = text[1:-1] if text[0] == "'" else text
    try:
        value = json.loads(inner)
    except ValueError:
        return inner
    return value if isinstance(value, str) else inner
