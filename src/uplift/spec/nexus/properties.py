"""Java properties files: keys set in a text, and all else as it stands, byte for byte.

The text is the file's bytes as Latin-1, which is how Java reads such files, and which gives every
byte back. Format: https://docs.oracle.com/javase/8/docs/api/java/util/Properties.html (load).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_WHITE = " \t\f"
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_ENTRY = re.compile(r"((?:[^\\=: \t\f]|\\.)*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_LETTERS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_WRITTEN = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f", "\\": "\\\\"}


@dataclass(frozen=True)
class Entry:
    """One logical line.

    Args:
        raw: as it stands, line ends included.
        key: None for comments and blank lines.
        value: of the key.
    """

    raw: str
    key: str | None = None
    value: str = ""


def read(text: str) -> dict[str, str]:
    """Return what Java finds in a file: of a key that stands twice, the last.

    Args:
        text: of the file.
    """
    return {entry.key: entry.value for entry in entries(text) if entry.key is not None}


def merge(text: str, wanted: Mapping[str, str | None]) -> str:
    """Return the file with these keys as they shall be.

    Args:
        text: of the file; empty when there is none.
        wanted: values; None takes a key away.
    """
    found = list(entries(text))
    there = read(text)
    end = next((match[0] for match in re.finditer(r"\r\n|\r|\n", text)), "\n")
    lines: list[str] = []
    for place, entry in enumerate(found):
        key = entry.key
        if key is None or key not in wanted or there[key] == wanted[key]:
            lines.append(entry.raw)
        elif not any(later.key == key for later in found[place + 1 :]):
            value = wanted[key]
            lines += [] if value is None else [_line(key, value, end)]
    missing = [(key, value) for key, value in wanted.items() if key not in there]
    added = [_line(key, value, end) for key, value in missing if value is not None]
    if added and lines:
        lines[-1] = _ended(lines[-1], end)
    return "".join(lines + added)


def entries(text: str) -> Iterator[Entry]:
    """Return the logical lines of a file; their raw texts together are the file.

    Args:
        text: of the file.
    """
    lines = iter(_LINES.findall(text))
    for raw in lines:
        logical = raw.rstrip("\r\n").lstrip(_WHITE)
        if logical.startswith(("#", "!")):
            yield Entry(raw)
            continue
        while _continues(logical):
            following = next(lines, None)
            logical = logical[:-1]
            if following is None:
                break
            raw += following
            logical += following.rstrip("\r\n").lstrip(_WHITE)
        match = _ENTRY.fullmatch(logical)
        if not logical or match is None:
            yield Entry(raw)
        else:
            yield Entry(raw, _plain(match[1]), _plain(match[2]))


def _ended(raw: str, end: str) -> str:
    lines: list[str] = _LINES.findall(raw)
    *before, last = lines
    text = last.rstrip("\r\n")
    # A backslash there would take the line that follows into this one; a comment has none such.
    if _continues(text) and (before or not text.lstrip(_WHITE).startswith(("#", "!"))):
        return "".join(before) + text[:-1] + (last[len(text) :] or end)
    return raw if last != text else raw + end


def _continues(logical: str) -> bool:
    return (len(logical) - len(logical.rstrip("\\"))) % 2 == 1


def _plain(text: str) -> str:
    def letter(match: re.Match[str]) -> str:
        word = match[1]
        return chr(int(word[1:], 16)) if len(word) == 5 else _LETTERS.get(word, word)

    # Letters beyond the first 65536 stand there as two.
    return _ESCAPE.sub(letter, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _line(key: str, value: str, end: str) -> str:
    name = "".join(f"\\{one}" if one in " =:#!" else _written(one) for one in key)
    blanks = len(value) - len(value.lstrip(" "))
    shown = "\\ " * blanks + "".join(map(_written, value[blanks:]))
    return f"{name}={shown}{end}"


def _written(letter: str) -> str:
    if letter in _WRITTEN:
        return _WRITTEN[letter]
    if " " <= letter <= "~":
        return letter
    code = letter.encode("utf-16-be")
    pairs = [code[place : place + 2] for place in range(0, len(code), 2)]
    return "".join(f"\\u{pair.hex()}" for pair in pairs)
