"""What the formats share: text that keeps its bytes, and errors that name a line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

LIMIT = 256 * 1024


class Broken(Exception):
    """Say why a file cannot be merged, and where.

    Args:
        line: number of the line, from 1; 0 for the file as a whole.
        text: what is wrong and what to do; never a value of the file.
    """

    def __init__(self, line: int, text: str) -> None:
        self.line = line
        self.text = text
        super().__init__(f"line {line}: {text}" if line else text)


class Document(Protocol):
    """A file as entries that can be put and dropped; all the rest keeps its bytes.

    ``made`` names what holds our entries (a section, an object) and was made for them:
    it goes when its last entry goes.
    """

    made: set[str]

    def __init__(self, text: str, made: set[str] | None = None) -> None: ...

    def values(self) -> dict[str, str]:
        """Return the entries as clients read them: of twins, the one that counts."""
        ...

    def twins(self) -> set[str]:
        """Return the keys of entries that stand in the file more than once."""
        ...

    def check(self, wanted: Mapping[str, str]) -> None:
        """Raise ``Broken`` when something else in the file makes our entries void."""
        ...

    def warnings(self, wanted: Mapping[str, str]) -> list[str]:
        """Return what is odd next to our entries, but is not ours to change."""
        ...

    def put(self, key: str, value: str) -> None:
        """Set an entry; twins of it go."""
        ...

    def drop(self, key: str) -> None:
        """Remove an entry with all its twins."""
        ...

    def arrange(self, keys: list[str]) -> None:
        """Bring our entries into this order where the order means something."""
        ...

    def text(self) -> str:
        """Return the whole file."""
        ...


def decode(content: bytes, *, single_cr: bool = False) -> str:
    """Return a file's text.

    Args:
        content: the file's bytes.
        single_cr: whether a carriage return may stand alone (in JSON it is a space).

    Raises:
        Broken: the bytes are no text that every client reads alike.
    """
    if len(content) > LIMIT:
        raise Broken(0, f"is larger than {LIMIT // 1024} kB, which no file of this kind is")
    if content.startswith(b"\xef\xbb\xbf"):
        raise Broken(1, "begins with a byte order mark, which most clients do not read: remove it")
    _refuse_byte(content, b"\0", "a NUL byte")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Broken(_line(content, error.start), "is not UTF-8") from None
    found = None if single_cr else re.search(r"\r(?!\n)", text)
    if found:
        raise Broken(text.count("\n", 0, found.start()) + 1, "a carriage return without line feed")
    return text


def _refuse_byte(content: bytes, byte: bytes, name: str) -> None:
    at = content.find(byte)
    if at >= 0:
        raise Broken(_line(content, at), f"holds {name}")


def _line(content: bytes, at: int) -> int:
    return content.count(b"\n", 0, at) + 1


@dataclass
class Lines:
    """A text as whole lines, which remembers its line ends and a missing last one.

    Args:
        items: lines with their line ends.
        eol: the line end for new lines: that of the first line.
        final: whether the last line ends with a line end.
    """

    items: list[str] = field(default_factory=list)
    eol: str = "\n"
    final: bool = True

    @classmethod
    def split(cls, text: str) -> Lines:
        """Cut a text at line feeds only (``str.splitlines`` knows many more ends)."""
        items = re.findall(r"[^\n]*\n|[^\n]+", text)
        eol = "\r\n" if items and items[0].endswith("\r\n") else "\n"
        final = not items or items[-1].endswith("\n")
        if not final:
            items[-1] += eol
        return cls(items, eol, final)

    def join(self) -> str:
        """Return the text; without a last line end where there was none."""
        text = "".join(self.items)
        return text if self.final else text.removesuffix(self.eol)

    def is_blank(self, index: int) -> bool:
        """Tell whether there is a line of that number and it is empty."""
        return 0 <= index < len(self.items) and not self.items[index].strip()
