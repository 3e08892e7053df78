"""The lines of an INI file, read as Python's ``RawConfigParser`` reads them.

ConfigUpdater is not used: it writes a changed option without its indentation, so that an indented
option below becomes a part of its value, and with other line ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from uplift.spec.clients.text import Broken

_HEADER = re.compile(r"\[(?P<name>.+)\]")
_OPTION = re.compile(r"(?P<key>.*?)\s*[=:]\s*(?P<value>.*)$")


@dataclass
class Option:
    """An option with its value.

    Args:
        key: its name as it is written.
        indent: the spaces before it; what stands deeper below is more of its value.
        start: number of its first line, from 0.
        stop: number behind its last line.
        values: its value, line by line.
    """

    key: str
    indent: str
    start: int
    stop: int
    values: list[str]

    @property
    def value(self) -> str:
        """Return the value as the parser gives it."""
        return "\n".join(self.values).rstrip()


@dataclass
class Section:
    """A section with its options; ``stop`` is the line behind its last option."""

    name: str
    start: int
    options: list[Option] = field(default_factory=list)

    @property
    def stop(self) -> int:
        """Return the number of the line behind the last option, or behind the header."""
        return self.options[-1].stop if self.options else self.start + 1


def sections(lines: Sequence[str]) -> list[Section]:
    """Return the sections of a file.

    Args:
        lines: its lines, with their line ends.

    Raises:
        Broken: Python's parser would refuse the file, whole.
    """
    found: list[Section] = []
    option: Option | None = None
    for number, line in enumerate(lines):
        text = line.strip()
        if not text or text[0] in "#;":
            if option and not text:
                option.values.append("")
            continue
        indent = line[: len(line) - len(line.lstrip())]
        if option and len(indent) > len(option.indent):
            option.values.append(text)
            option.stop = number + 1
            continue
        option = _begin(found, number, indent, text)
    return found


def _begin(found: list[Section], number: int, indent: str, text: str) -> Option | None:
    """Read a line that continues nothing; return the option that it begins."""
    header = _HEADER.match(text)
    if header:
        _add_section(found, Section(header["name"], number))
        return None
    if not found:
        raise Broken(number + 1, "stands before the first [section]: pip and twine then fail")
    match = _OPTION.match(text)
    if not match or not match["key"]:
        raise Broken(number + 1, "is no 'key = value': pip and twine then fail")
    option = Option(match["key"].rstrip(), indent, number, number + 1, [match["value"].strip()])
    found[-1].options.append(option)
    return option


def _add_section(found: list[Section], section: Section) -> None:
    first = next((one for one in found if one.name == section.name), None)
    if first:
        text = f"[{section.name}] again (first on line {first.start + 1}): pip and twine then fail"
        raise Broken(section.start + 1, text)
    found.append(section)
