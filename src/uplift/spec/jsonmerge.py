"""Change single keys of a JSON file and leave every other byte as it is.

For files that people also edit, such as ``daemon.json`` and Docker's ``config.json``::

    text = set_keys(text, {("log-opts", "max-size"): "10m", ("live-restore",): True})
    text = remove_keys(text, [("auths", "registry.example:5000")], prune=True)
    value = load(text).get("live-restore")

- A path is a tuple of keys from the outermost object inwards; objects that are missing are made.
- A key whose value is equal already keeps its bytes, so setting twice changes nothing.
- New keys come last, in the file's own indentation and line ends. Text that is empty or only
  white space is taken as an empty object.
- Where a key stands twice, the last one counts, as for Go, npm and Python; removing takes all.
- ``JsonError`` (a ValueError) has ``line`` and a text that never quotes the file's contents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

Path = tuple[str, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    type(None): "null",
}


class JsonError(ValueError):
    """Say why a text cannot be merged.

    Args:
        line: line of the text, from 1.
        problem: what is wrong there, without the text's contents.
    """

    def __init__(self, line: int, problem: str) -> None:
        self.line = line
        self.problem = problem
        super().__init__(f"line {line}: {problem}")


@dataclass
class _Node:
    """Where a value stands; ``members`` only for objects."""

    start: int
    end: int = 0
    members: list[_Member] | None = None


@dataclass
class _Member:
    """Where a key and its value stand; ``lead`` is the white space before the key."""

    name: str
    start: int
    lead: str
    value: _Node = field(default_factory=lambda: _Node(0))


def load(text: str) -> dict[str, Any]:
    """Return the object that the text holds.

    Raises:
        JsonError: not JSON (comments are not), or not an object.
    """
    if not text.strip(" \t\r\n"):
        return {}
    try:
        value = json.loads(text, parse_constant=_constant)
        _root(text)
    except json.JSONDecodeError as error:
        raise JsonError(error.lineno, _reason(text, error)) from None
    except RecursionError:
        raise JsonError(1, "nested too deeply") from None
    if not isinstance(value, dict):
        raise JsonError(1, f"holds {_kind(value)}, not an object")
    return value


def set_keys(text: str, keys: Mapping[Path, Any]) -> str:
    """Return the text with these keys set.

    Args:
        text: contents of the file.
        keys: plain JSON values by path.

    Raises:
        JsonError: the text is no JSON object, or a path leads through something else.
    """
    load(text)
    for path, value in keys.items():
        text = _set(text if text.strip(" \t\r\n") else "{}\n", path, value)
    return text


def remove_keys(text: str, paths: Iterable[Path], *, prune: bool = False) -> str:
    """Return the text without these keys; what is not there is no error.

    Args:
        text: contents of the file.
        paths: keys to take out.
        prune: take out the objects too that become empty by this.

    Raises:
        JsonError: the text is no JSON object.
    """
    load(text)
    for path in paths:
        text = _remove(text, path, prune=prune)
    return text


def _set(text: str, path: Path, value: Any) -> str:
    node = _root(text)
    for depth, name in enumerate(path):
        if node.members is None:
            raise JsonError(_line(text, node.start), f"{path[depth - 1]!r} is not an object")
        member = _find(node, name)
        if member is None:
            return _insert(text, node, name, _nest(path[depth + 1 :], value))
        node = member.value
    if _same(json.loads(text[node.start : node.end]), value):
        return text
    rendered = _render(text, value, _indent(text, node.start))
    return text[: node.start] + rendered + text[node.end :]


def _insert(text: str, node: _Node, name: str, value: Any) -> str:
    assert node.members is not None
    if not node.members:
        return _fill(text, node, name, value)
    last = node.members[-1]
    tight = text[last.start : last.value.start].endswith(":")
    lead = last.lead if "\n" in last.lead or len(node.members) > 1 else "" if tight else " "
    indent = lead.rpartition("\n")[2] if "\n" in lead else _indent(text, last.start)
    member = _member(text, name, value, indent, tight=tight)
    return f"{text[: last.value.end]},{lead}{member}{text[last.value.end :]}"


def _fill(text: str, node: _Node, name: str, value: Any) -> str:
    """Put the first member into an empty object."""
    outer = _indent(text, node.start)
    if _flat(text) and node.start:
        inside = _member(text, name, value, outer, tight=False)
    else:
        newline, inner = _newline(text), outer + _unit(text)
        member = _member(text, name, value, inner, tight=False)
        inside = f"{newline}{inner}{member}{newline}{outer}"
    return f"{text[: node.start]}{{{inside}}}{text[node.end :]}"


def _remove(text: str, path: Path, *, prune: bool) -> str:
    while True:
        trail = _trail(text, path)
        if trail is None:
            return text
        depth = len(trail) - 1
        while prune and depth and len(trail[depth][0].members or ()) == 1:
            depth -= 1
        text = _cut(text, *trail[depth])


def _trail(text: str, path: Path) -> list[tuple[_Node, _Member]] | None:
    """Return each object on the way with the member that is taken, or None."""
    node, trail = _root(text), []
    for name in path:
        member = _find(node, name)
        if member is None:
            return None
        trail.append((node, member))
        node = member.value
    return trail


def _cut(text: str, node: _Node, member: _Member) -> str:
    assert node.members is not None
    index = node.members.index(member)
    if len(node.members) == 1:
        return text[: node.start + 1] + text[node.end - 1 :]
    if index + 1 < len(node.members):
        return text[: member.start] + text[node.members[index + 1].start :]
    return text[: node.members[index - 1].value.end] + text[member.value.end :]


def _root(text: str) -> _Node:
    if not text.strip(" \t\r\n"):
        return _Node(0, len(text), [])
    return _scan(text, _skip(text, 0))


def _scan(text: str, start: int) -> _Node:
    """Find where the values of an object stand; the text is known to be JSON."""
    if text[start] != "{":
        return _Node(start, json.JSONDecoder().raw_decode(text, start)[1])
    members: list[_Member] = []
    position = start
    while True:
        key = _skip(text, position + 1)
        if text[key] == "}":
            return _Node(start, key + 1, members)
        name, end = json.JSONDecoder().raw_decode(text, key)
        member = _Member(name, key, text[position + 1 : key])
        member.value = _scan(text, _skip(text, _skip(text, end) + 1))
        members.append(member)
        position = _skip(text, member.value.end)
        if text[position] == "}":
            return _Node(start, position + 1, members)


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    assert found is not None
    return found.end()


def _find(node: _Node, name: str) -> _Member | None:
    found = [member for member in node.members or () if member.name == name]
    return found[-1] if found else None


def _nest(path: Path, value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


def _member(text: str, name: str, value: Any, indent: str, *, tight: bool) -> str:
    colon = ":" if tight else ": "
    return json.dumps(name, ensure_ascii=False) + colon + _render(text, value, indent)


def _render(text: str, value: Any, indent: str) -> str:
    if _flat(text):
        return json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, ensure_ascii=False, indent=_unit(text)).split("\n")
    return (_newline(text) + indent).join(lines)


def _same(one: Any, other: Any) -> bool:
    """Compare as JSON: ``1`` and ``true`` differ, the order of keys does not."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _flat(text: str) -> bool:
    """Tell whether the file keeps everything on one line."""
    root = _root(text)
    return bool(root.members) and "\n" not in text[root.start : root.end]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _unit(text: str) -> str:
    root = _root(text)
    lead = root.members[0].lead if root.members else ""
    return lead.rpartition("\n")[2] if "\n" in lead else "  "


def _indent(text: str, position: int) -> str:
    """Return the white space at the start of the line of a position."""
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def _constant(name: str) -> NoReturn:
    # Python reads NaN and Infinity; nobody else does.
    raise json.JSONDecodeError(f"{name} is not JSON", "", 0)


def _reason(text: str, error: json.JSONDecodeError) -> str:
    rest = text[error.pos :]
    if rest.startswith(("//", "/*", "#")):
        return "not JSON: comments are not allowed"
    if rest[:1] in ("}", "]") and text[: error.pos].rstrip(" \t\r\n").endswith(","):
        return "not JSON: comma before a closing bracket"
    return f"not JSON: {error.msg}"
