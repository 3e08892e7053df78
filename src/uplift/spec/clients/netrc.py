"""``.netrc``: words, read exactly as Python's ``netrc`` reads them, edited in place."""

from __future__ import annotations

import re
from collections.abc import Mapping

from uplift.spec.clients.netrc_words import PAIRS, TOP, Entry, entries
from uplift.spec.clients.text import Lines


class NetrcDocument:
    """The machines of a ``.netrc``.

    Args:
        text: the file's text, empty for a new file.
        made: not used; a ``.netrc`` has nothing that holds machines.

    Raises:
        Broken: one wrong word makes every client ignore the whole file.
    """

    def __init__(self, text: str, made: set[str] | None = None) -> None:
        self.made = made or set()
        # As it is first: a line end at the end could close a macro that is open.
        list(entries(text))
        lines = Lines.split(text)
        self._eol, self._final = lines.eol, lines.final
        self._text = "".join(lines.items)
        self._entries = list(entries(self._text))

    def values(self) -> dict[str, str]:
        """Return login and password by ``machine NAME``; the last of twins counts."""
        return {f"machine {e.name}": _value(e) for e in self._machines()}

    def twins(self) -> set[str]:
        """Return machines that are there twice, or where some clients never look."""
        names = [entry.name for entry in self._machines()]
        double = {f"machine {name}" for name in names if names.count(name) > 1}
        return double | {f"machine {e.name}" for e in self._machines() if self._is_bad(e)}

    def check(self, wanted: Mapping[str, str]) -> None:
        """Accept what could be read."""

    def warnings(self, wanted: Mapping[str, str]) -> list[str]:
        """Tell of nothing: other machines do not touch ours."""
        return []

    def put(self, key: str, value: str) -> None:
        """Set login and password of a machine, before ``default``, and drop its twins."""
        name = key.removeprefix("machine ")
        found = [entry for entry in self._machines() if entry.name == name]
        good = [entry for entry in found if entry.start < self._default()]
        for entry in reversed(found):
            if entry not in good[:1]:
                self._cut(entry.start, entry.end)
        if good:
            self._edit(good[0], value)
        else:
            self._insert(f"machine {name} {value}{self._eol}")

    def drop(self, key: str) -> None:
        """Remove a machine with its words."""
        for entry in reversed([e for e in self._machines() if f"machine {e.name}" == key]):
            self._cut(entry.start, entry.end)

    def arrange(self, keys: list[str]) -> None:
        """Leave the order: a host has one machine."""

    def text(self) -> str:
        """Return the whole file."""
        return self._text if self._final else self._text.removesuffix(self._eol)

    def _machines(self) -> list[Entry]:
        return [entry for entry in self._entries if entry.name]

    def _default(self) -> int:
        starts = (entry.start for entry in self._entries if not entry.name)
        return next(starts, len(self._text))

    def _is_bad(self, entry: Entry) -> bool:
        kinds = [kind for kind, _, _ in entry.pairs if kind != "account"]
        return entry.start > self._default() or len(kinds) != len(set(kinds))

    def _edit(self, entry: Entry, value: str) -> None:
        """Put our two words into an entry; layout, comments and ``account`` stay."""
        words = dict(zip(("login", "password"), value.split(" ")[1::2], strict=True))
        if _value(entry) == value and not self._is_bad(entry):
            return
        last = {kind: i for i, (kind, _, _) in enumerate(entry.pairs)}
        missing = " ".join(f"{k} {w}" for k, w in words.items() if k not in last)
        for i, (kind, keyword, word) in reversed(list(enumerate(entry.pairs))):
            if kind in words and last[kind] != i:
                self._cut(keyword.start, word.end)
            elif kind in words:
                self._replace(word.start, word.end, words[kind])
        if missing:
            self._replace(entry.head, entry.head, f" {missing}")

    def _insert(self, line: str) -> None:
        at = self._default()
        starts_line = at == 0 or self._text[at - 1] == "\n"
        self._replace(at, at, line if starts_line else f"{self._eol}{line}")

    def _cut(self, start: int, end: int) -> None:
        """Remove words, and their line when nothing else is on it."""
        left = self._text.rfind("\n", 0, start) + 1
        right = self._text.find("\n", end)
        right = len(self._text) if right < 0 else right + 1
        if not (self._text[left:start] + self._text[end:right]).strip():
            self._replace(left, right, "")
            return
        while end < len(self._text) and self._text[end] in " \t":
            end += 1
        self._replace(start, end, "")

    def _replace(self, start: int, end: int, new: str) -> None:
        self._text = self._text[:start] + new + self._text[end:]
        self._entries = list(entries(self._text))


def pair(login: str, password: str) -> str:
    """Return the words of an entry.

    Args:
        login: user name.
        password: password.
    """
    return f"login {login} password {password}"


def _value(entry: Entry) -> str:
    last = {kind: word.text for kind, _, word in entry.pairs}
    return pair(last.get("login", ""), last.get("password", ""))


def fault(value: str) -> str | None:
    """Say why clients would not read a login or password alike, or None.

    Args:
        value: the word.
    """
    # Tried with curl 7.88, uv 0.13.8 and Python 3.11: all of these come back as they are.
    if not re.fullmatch(r"[!$-&(-\[\]-~][!#-\[\]-~]*", value):
        return (
            "pip, uv and curl read it differently in a .netrc: it must not be empty, may hold "
            "ASCII letters, digits and signs, but no space, double quote or backslash, and must "
            "not begin with '#' or a quote"
        )
    if value in TOP or value in PAIRS:
        return f"{value!r} is a keyword of .netrc, which some clients then take for one"
    return None
