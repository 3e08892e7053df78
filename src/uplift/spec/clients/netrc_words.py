"""The words of a ``.netrc`` with their places, read as Python's ``netrc`` reads them.

pip, twine and Poetry use Python's reader, which is the strictest: one word that it does not
expect makes it ignore the whole file. Its oddities (a comment after an empty line is no comment)
are kept on purpose: what it cannot read must not be taken for a good file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from uplift.spec.clients.text import Broken

TOP = ("machine", "default", "macdef")
PAIRS = {"login": "login", "user": "login", "account": "account", "password": "password"}
_SPACE = " \t\r\n"


@dataclass(frozen=True)
class Word:
    """A word and where it stands.

    Args:
        text: the word without quotes and escapes.
        start: its first character.
        end: the place behind its last character.
        after: the place where Python goes on reading, behind one space or line end.
        same_line: whether no line end was passed since the word before.
    """

    text: str
    start: int
    end: int
    after: int
    same_line: bool


@dataclass
class Entry:
    """A ``machine`` (or ``default``, with an empty name) and its pairs of words."""

    name: str
    start: int
    head: int
    pairs: list[tuple[str, Word, Word]] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Return the place behind the last word."""
        return self.pairs[-1][2].end if self.pairs else self.head


def entries(text: str) -> Iterator[Entry]:
    """Return the machines in their order, ``default`` among them.

    Args:
        text: a whole ``.netrc``.

    Raises:
        Broken: a client would ignore the file, or a part of it.
    """
    at, entry = 0, None
    while word := _word(text, at):
        at = word.after
        if word.text.startswith("#"):
            at = _after_comment(text, word, in_entry=entry is not None)
        elif word.text in TOP:
            if entry:
                yield entry
            entry, at = _begin(text, word)
        elif entry and word.text in PAIRS:
            at = _add(text, entry, word)
        else:
            raise Broken(_line(text, word.start), _bogus(text, word, entry))
    if entry:
        yield entry


def _begin(text: str, word: Word) -> tuple[Entry | None, int]:
    if word.text == "default":
        return Entry("", word.start, word.end), word.after
    name = _word(text, word.after)
    if name is None or not name.text:
        raise Broken(_line(text, word.start), f"{word.text} without a name")
    if word.text == "machine":
        return Entry(name.text, word.start, name.end), name.after
    return None, _after_macro(text, name)


def _add(text: str, entry: Entry, keyword: Word) -> int:
    value = _word(text, keyword.after)
    if value is None:
        raise Broken(_line(text, keyword.start), f"{keyword.text} without a value")
    entry.pairs.append((PAIRS[keyword.text], keyword, value))
    return value.after


def _bogus(text: str, word: Word, entry: Entry | None) -> str:
    expected = "login, password, account, machine, default" if entry else "machine, default"
    line = text[text.rfind("\n", 0, word.start) + 1 : word.start]
    if line.lstrip().startswith("#"):
        return (
            "the words of this comment are read as entries, so that pip ignores the whole file: "
            "begin it with '# ' and leave no empty line above it"
        )
    return (
        f"a word that is none of {expected} or macdef: pip and uv then ignore the whole file; "
        "correct it (a value with a space in it needs double quotes)"
    )


def _after_comment(text: str, word: Word, *, in_entry: bool) -> int:
    # Python skips the rest of the line only when it passed no line end since the word before.
    if not word.same_line or not (in_entry or word.text == "#"):
        return word.after
    end = text.find("\n", word.after)
    return len(text) if end < 0 else end + 1


def _after_macro(text: str, name: Word) -> int:
    """A macro runs to its first empty line."""
    at = name.after
    while (end := text.find("\n", at)) >= 0:
        if text[at:end] in ("", "\r"):
            return end + 1
        at = end + 1
    raise Broken(_line(text, name.start), "macdef without an empty line at its end")


def _word(text: str, before: int) -> Word | None:
    start = before
    while start < len(text) and text[start] in _SPACE:
        start += 1
    if start == len(text):
        return None
    quoted = text[start] == '"'
    ends, at, word = ('"' if quoted else _SPACE), start + quoted, ""
    while at < len(text) and text[at] not in ends:
        at += text[at] == "\\"
        word += text[at : at + 1]
        at += 1
    if quoted and at >= len(text):
        raise Broken(_line(text, start), "a quote that is never closed")
    after = min(at + 1 + (not quoted and text[at : at + 2] == "\r\n"), len(text))
    return Word(word, start, min(at + quoted, len(text)), after, "\n" not in text[before:after])


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
