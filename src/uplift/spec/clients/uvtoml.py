"""``uv.toml``: top-level keys and ``[[index]]`` tables, edited statement by statement.

tomlkit is not used: it writes new lines without the file's own line ends and puts a new table
between a comment and the table that the comment is about.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from uplift.spec.clients.text import Broken, Lines

_INDEX: dict[str, Any] = {"index": [{}]}


@dataclass(frozen=True)
class _Statement:
    """A key with its value, or a header, with the numbers of its lines."""

    start: int
    stop: int
    data: dict[str, Any]
    header: bool


@dataclass
class _Index:
    header: _Statement
    keys: list[_Statement] = field(default_factory=list)

    @property
    def data(self) -> dict[str, Any]:
        return {key: value for one in self.keys for key, value in one.data.items()}

    @property
    def key(self) -> str:
        return f"index {self.data.get('name', '')}"


class UvDocument:
    """Settings by ``KEY`` and indexes by ``index NAME``; values are JSON.

    Args:
        text: the file's text, empty for a new file.
        made: not used; a ``uv.toml`` has nothing that holds our entries.

    Raises:
        Broken: the file is no TOML.
    """

    def __init__(self, text: str, made: set[str] | None = None) -> None:
        self.made = made or set()
        _check_toml(text)
        self._lines = Lines.split(text)
        self._read()

    def values(self) -> dict[str, str]:
        """Return top-level keys and named indexes; of twins, the first counts for uv."""
        found = {key: _json(one.data[key]) for one in self._top for key in one.data}
        for index in reversed(self._indexes):
            if "name" in index.data:
                found[index.key] = _json(index.data)
        return found

    def twins(self) -> set[str]:
        """Return indexes of which two have the same name."""
        keys = [index.key for index in self._indexes if "name" in index.data]
        return {key for key in keys if keys.count(key) > 1}

    def check(self, wanted: Mapping[str, str]) -> None:
        """Refuse what makes our indexes void: a list in one line, another default."""
        indexes = {key: json.loads(value) for key, value in wanted.items() if key[:6] == "index "}
        for one in self._top:
            if indexes and "index" in one.data:
                raise Broken(one.start + 1, "index is a list here: write [[index]] tables instead")
        if not any(data.get("default") for data in indexes.values()):
            return
        for index in self._indexes:
            if index.key not in indexes and index.data.get("default"):
                text = "a default index beside ours, and uv takes only the first: remove one"
                raise Broken(index.header.start + 1, text)

    def warnings(self, wanted: Mapping[str, str]) -> list[str]:
        """Tell of a strategy by which public packages replace private ones."""
        return [
            f"line {one.start + 1}: index-strategy {one.data['index-strategy']!r} lets a public "
            "package replace a private one; remove it"
            for one in self._top
            if str(one.data.get("index-strategy", "")).startswith("unsafe")
        ]

    def put(self, key: str, value: str) -> None:
        """Set a key or an index in its place, or add it."""
        if key.startswith("index "):
            self._put_index(key, json.loads(value))
            return
        line = _assign(key, json.loads(value))
        there = [one for one in self._top if key in one.data]
        if there:
            self._splice(there[0].start, there[0].stop, [line])
            return
        at = max((one.stop for one in self._top), default=0)
        self._splice(at, at, [line])

    def drop(self, key: str) -> None:
        """Remove a key, or every index of a name."""
        for one in reversed([one for one in self._top if key in one.data]):
            self._splice(one.start, one.stop, [])
        for index in reversed([index for index in self._indexes if index.key == key]):
            self._remove(index)

    def arrange(self, keys: list[str]) -> None:
        """Bring our indexes into their order: uv asks them in the order of the file."""
        wanted = [key for key in keys if key.startswith("index ")]
        there = [index.key for index in self._indexes if index.key in wanted]
        if there == wanted:
            return
        values = self.values()
        for key in wanted:
            self.drop(key)
        for key in wanted:
            self.put(key, values[key])

    def text(self) -> str:
        """Return the whole file."""
        return self._lines.join()

    def _read(self) -> None:
        self._top: list[_Statement] = []
        self._indexes: list[_Index] = []
        into = self._top
        for one in _statements(self._lines.items):
            if not one.header:
                into.append(one)
                continue
            into = []
            if one.data == _INDEX:
                self._indexes.append(_Index(one, into))

    def _put_index(self, key: str, data: dict[str, Any]) -> None:
        found = [index for index in self._indexes if index.key == key]
        for index in reversed(found[1:]):
            self._remove(index)
        if found:
            self._edit(found[0], data)
            return
        end = len(self._lines.items)
        names = sorted(data, key=lambda name: (name != "name", name != "url"))
        lines = ["[[index]]", *(_assign(name, data[name]) for name in names)]
        self._splice(end, end, ["", *lines] if end else lines)

    def _edit(self, index: _Index, data: dict[str, Any]) -> None:
        """Bring the keys of an index to what they should be; comments stay."""
        end = index.keys[-1].stop if index.keys else index.header.stop
        new = [_assign(key, value) for key, value in data.items() if key not in index.data]
        self._splice(end, end, new)
        for one in reversed(index.keys):
            ((key, value),) = one.data.items()
            if key not in data:
                self._splice(one.start, one.stop, [])
            elif value != data[key]:
                self._splice(one.start, one.stop, [_assign(key, data[key])])

    def _remove(self, index: _Index) -> None:
        for one in reversed(index.keys):
            self._splice(one.start, one.stop, [])
        start = index.header.start
        # The empty line above came with the table.
        self._splice(start - self._lines.is_blank(start - 1), index.header.stop, [])

    def _splice(self, start: int, stop: int, new: list[str]) -> None:
        self._lines.items[start:stop] = [f"{line}{self._lines.eol}" for line in new]
        self._read()


def _statements(lines: list[str]) -> Iterator[_Statement]:
    """Cut a good document: a statement is whole as soon as it can be read by itself."""
    start = 0
    for stop in range(1, len(lines) + 1):
        text = "".join(lines[start:stop])
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue
        if data:
            yield _Statement(start, stop, data, header=text.lstrip().startswith("["))
        start = stop


def _check_toml(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        raise Broken(line, "is no TOML: uv then fails for every user of the host") from None


def _assign(key: str, value: Any) -> str:
    # For the kinds of values that the settings allow, JSON and TOML are written alike.
    return f"{key} = {json.dumps(value)}"


def _json(value: Any) -> str:
    return json.dumps(value, default=str, sort_keys=True)
