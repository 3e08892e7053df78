"""``pip.conf`` and ``.pypirc``: options in sections, edited line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from uplift.spec.clients.ini_lines import Option, Section, sections
from uplift.spec.clients.text import Broken, Lines

_KEY = re.compile(r"\[(?P<section>.+?)\] (?P<option>\S+)(?: \+= (?P<member>\S+))?")
LISTED = "listed"
SERVERS = "[distutils] index-servers"


class IniDocument:
    """Options by ``[section] option``; members of a list by ``[section] option += member``.

    Args:
        text: the file's text, empty for a new file.
        made: sections and lists that were made for our entries.

    Raises:
        Broken: Python's parser would refuse the file.
    """

    def __init__(self, text: str, made: set[str] | None = None) -> None:
        self.made = made or set()
        self._lines = Lines.split(text)
        self._sections = sections(self._lines.items)

    def values(self) -> dict[str, str]:
        """Return the options; of twins, the last one."""
        found: dict[str, str] = {}
        for section, option in self._options():
            key = self._key(section, option)
            found[key] = self._normal(key, option.value)
            if key == SERVERS:
                found |= {f"{key} += {member}": LISTED for member in option.value.split()}
        return found

    def twins(self) -> set[str]:
        """Return options that stand twice; Python's parser refuses such a file."""
        keys = [self._key(section, option) for section, option in self._options()]
        return {key for key in keys if keys.count(key) > 1}

    def check(self, wanted: Mapping[str, str]) -> None:
        """Refuse twins that are not ours to repair."""
        first: dict[str, int] = {}
        for section, option in self._options():
            key = f"[{section.name}] {option.key.lower()}"
            if key in first and self._key(section, option) not in wanted:
                text = f"{key} again (first on line {first[key] + 1}): pip and twine then fail"
                raise Broken(option.start + 1, text)
            first.setdefault(key, option.start)

    def warnings(self, wanted: Mapping[str, str]) -> list[str]:
        """Tell of nothing: other sections do not touch ours."""
        return []

    def put(self, key: str, value: str) -> None:
        """Set an option in its place, or add it at the end of its section."""
        section, name, member = _split(key)
        if member:
            self._put_member(section, name, member)
            return
        found = self._find(key)
        if not found:
            self._insert(section, f"{name} = {value}")
        elif len(found) > 1 or self._normal(key, found[0].value) != value:
            for option in reversed(found[1:]):
                self._replace(option, [])
            self._replace(found[0], [f"{found[0].indent}{name} = {value}"])

    def drop(self, key: str) -> None:
        """Remove an option; its section and its list too where they were made for it."""
        section, name, member = _split(key)
        if member:
            self._drop_member(f"[{section}] {name}", member)
            return
        for option in reversed(self._find(key)):
            self._replace(option, [])
        self._drop_empty(section)

    def arrange(self, keys: list[str]) -> None:
        """Leave the order: it means nothing."""

    def text(self) -> str:
        """Return the whole file."""
        return self._lines.join()

    def _option_name(self, written: str) -> str:
        return written.lower()

    def _normal(self, key: str, value: str) -> str:
        return value

    def _key(self, section: Section, option: Option) -> str:
        return f"[{section.name}] {self._option_name(option.key)}"

    def _options(self) -> Iterator[tuple[Section, Option]]:
        return ((section, option) for section in self._sections for option in section.options)

    def _find(self, key: str) -> list[Option]:
        return [option for section, option in self._options() if self._key(section, option) == key]

    def _insert(self, name: str, text: str) -> None:
        """Add an option below the last one of its section, as deep as that one."""
        section = next((one for one in self._sections if one.name == name), None)
        if section is None:
            blank = [self._lines.eol] if self._lines.items else []
            self._lines.items += [*blank, f"[{name}]{self._lines.eol}"]
            self.made.add(f"[{name}]")
            section = Section(name, len(self._lines.items) - 1)
        indent = section.options[-1].indent if section.options else ""
        self._splice(section.stop, section.stop, [f"{indent}{text}"])

    def _replace(self, option: Option, new: list[str]) -> None:
        """Put new lines in the place of an option; comments between its lines stay."""
        old = self._lines.items[option.start : option.stop]
        comments = [line.rstrip("\r\n") for line in old if line.strip()[:1] in ("#", ";")]
        self._splice(option.start, option.stop, [*new, *comments])

    def _splice(self, start: int, stop: int, new: list[str]) -> None:
        self._lines.items[start:stop] = [f"{line}{self._lines.eol}" for line in new]
        self._sections = sections(self._lines.items)

    def _drop_empty(self, name: str) -> None:
        section = next((one for one in self._sections if one.name == name), None)
        if section is None or section.options or f"[{name}]" not in self.made:
            return
        # The empty line above came with the header.
        start = section.start - self._lines.is_blank(section.start - 1)
        self._splice(start, section.start + 1, [])
        self.made.discard(f"[{name}]")

    def _put_member(self, section: str, name: str, member: str) -> None:
        key = f"[{section}] {name}"
        found = self._find(key)
        if not found:
            self._insert(section, f"{name} =")
            self.made.add(key)
            found = self._find(key)
        option = found[-1]
        if member not in option.value.split():
            self._splice(option.stop, option.stop, [f"{self._deeper(option)}{member}"])

    def _deeper(self, option: Option) -> str:
        more = self._lines.items[option.start + 1 : option.stop]
        lines = [line for line in more if line.strip() and line.strip()[0] not in "#;"]
        return (
            lines[-1][: len(lines[-1]) - len(lines[-1].lstrip())]
            if lines
            else (option.indent + "    ")
        )

    def _drop_member(self, key: str, member: str) -> None:
        for option in self._find(key):
            for index in reversed(range(option.start, option.stop)):
                self._cut(index, member, first=index == option.start)
        left = self._find(key)
        if key in self.made and not any(option.value.split() for option in left):
            self.made.discard(key)
            self.drop(key)

    def _cut(self, index: int, member: str, *, first: bool) -> None:
        """Remove a word from a line of a list, and the line when that was all."""
        line = self._lines.items[index]
        if line.strip()[0:1] in ("#", ";"):
            return
        if not first and line.strip() == member:
            self._splice(index, index + 1, [])
            return
        head = re.match(r"[^=:]*[=:]", line) if first else None
        start = head.end() if head else 0
        word = re.compile(rf"[ \t]*(?<!\S){re.escape(member)}(?!\S)")
        body = word.sub("", line[start:].rstrip("\r\n"))
        if body != line[start:].rstrip("\r\n"):
            self._splice(index, index + 1, [line[:start] + body])


class PipDocument(IniDocument):
    """A ``pip.conf``: ``index_url`` and ``--index-url`` are names of ``index-url`` too."""

    def warnings(self, wanted: Mapping[str, str]) -> list[str]:
        """Tell of other indexes beside ours: pip has no order of indexes."""
        if "[global] index-url" not in wanted:
            return []
        found = [(self._key(s, option), option.start + 1) for s, option in self._options()]
        beside = [
            f"line {line}: {key} beside our index-url: pip takes the highest version of all "
            "indexes, so that a public package can replace a private one; remove it"
            for key, line in found
            if key.endswith("] extra-index-url")
        ]
        return beside + [
            f"line {line}: {key} wins over our index-url for that command; remove it"
            for key, line in found
            if key.endswith("] index-url") and key != "[global] index-url"
        ]

    def _option_name(self, written: str) -> str:
        return written.lower().replace("_", "-").removeprefix("--")

    def _normal(self, key: str, value: str) -> str:
        return " ".join(value.split()) if key.endswith("] trusted-host") else value


def fault(value: str) -> str | None:
    """Say why a value cannot stand in an INI file, or None.

    Args:
        value: a user name or a password.
    """
    if not value or value != value.strip() or not value.isprintable():
        return "is empty, or has a line end or spaces around it, which an INI file cannot hold"
    return None


def _split(key: str) -> tuple[str, str, str | None]:
    match = _KEY.fullmatch(key)
    if not match:
        msg = f"no key of an INI file: {key}"
        raise ValueError(msg)
    return match["section"], match["option"], match["member"]
