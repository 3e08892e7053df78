"""What a running Redis says, and how it differs from what is wanted."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from uplift.spec.container.units import memory_words
from uplift.spec.redis.models import Redis
from uplift.spec.redis.server import quoted


@dataclass(frozen=True)
class State:
    """A server as it answers, not as its files say.

    Args:
        running: its container runs.
        answers: it answers at all.
        closed: it refuses who comes without a password.
        opens: it lets in who has the password.
        said: its words to who came with the password.
        config: as ``CONFIG GET`` shows it; only what was asked for.
        open_users: users that need no password.
        leftover: there is an append-only file.
        seen: tells one run of the container from another.
    """

    running: bool = False
    answers: bool = False
    closed: bool = False
    opens: bool = False
    said: str = ""
    config: Mapping[str, str] = field(default_factory=dict)
    open_users: tuple[str, ...] = ()
    leftover: bool = False
    seen: str = ""

    @property
    def trouble(self) -> str:
        """Return why it has to be started anew: then it reads its password from the file."""
        if not self.answers:
            return "it does not answer"
        if not self.closed:
            return "it lets everybody in without a password"
        if not self.opens:
            return f"it refuses the password: {self.said}"
        if self.open_users:
            return f"users without a password: {', '.join(self.open_users)}"
        return ""


def asked(settings: Redis) -> list[str]:
    """Return the keys of the configuration that are compared.

    Args:
        settings: what is wanted.
    """
    return ["appendonly", *settings.options]


def questions(keys: Iterable[str]) -> list[str]:
    """Return what is asked of the server behind the password, a line each.

    Args:
        keys: of its configuration.
    """
    return ["ACL LIST", *(f"CONFIG GET {key}" for key in keys)]


def parse(lines: Iterable[str]) -> State:
    """Read the lines of the fact's script.

    Args:
        lines: a line of its own each, then the answers as ``redis-cli --no-raw`` writes them: to
            PING without a password, to AUTH, and to the questions.

    Raises:
        ValueError: the script did not reach its end.
    """
    given = [line for line in lines if line.strip()]
    if not given or given[-1] != "end":
        msg = "the script that reads Redis did not reach its end"
        raise ValueError(msg)
    head = dict(line.partition(" ")[::2] for line in given[:2])
    if head["container"] != "running":
        return State(seen=head["seen"])
    replies = _replies(given[3:-1])
    if len(replies) < 2:
        return State(running=True, seen=head["seen"])
    first, login, *rest = replies
    return State(
        running=True,
        answers=first[0] == "PONG" or first[0].startswith("(error) NOAUTH"),
        closed=first[0].startswith("(error) NOAUTH"),
        opens=login[0] == "OK",
        said=login[0].removeprefix("(error) ")[:200],
        config=_config(rest),
        open_users=_open_users(rest),
        leftover=given[2] == "appendonly yes",
        seen=head["seen"],
    )


_ITEM = re.compile(r'\s*(\d+)\) (".*")')


def _replies(lines: Sequence[str]) -> list[list[str]]:
    """Part the answers: a list counts from 1, anything else is a line."""
    found: list[list[str]] = []
    for line in lines:
        match = _ITEM.fullmatch(line)
        if match is None:
            found.append([line])
        elif match[1] == "1":
            found.append([_unquoted(match[2])])
        else:
            found[-1].append(_unquoted(match[2]))
    return found


def _unquoted(text: str) -> str:
    return str(ast.literal_eval(text))


def _config(replies: Iterable[Sequence[str]]) -> dict[str, str]:
    return {reply[0]: reply[1] for reply in replies if len(reply) == 2 and " " not in reply[0]}


def _open_users(replies: Iterable[Sequence[str]]) -> tuple[str, ...]:
    words = [line.split() for reply in replies for line in reply if line.startswith("user ")]
    return tuple(user[1] for user in words if {"on", "nopass"} <= set(user[2:]))


@dataclass(frozen=True)
class Difference:
    """A key of the configuration that the running server has otherwise.

    Args:
        key: of ``redis.conf``.
        found: what it has.
        wanted: what it shall have.
    """

    key: str
    found: str
    wanted: str

    def __str__(self) -> str:
        if self.key == "maxmemory":
            return f"maxmemory {_size(self.found)} -> {_size(self.wanted)}"
        return f"{self.key} {self.found or '(empty)'} -> {self.wanted or '(empty)'}"


def _size(text: str) -> str:
    return memory_words(int(text)) if text.isdecimal() and text != "0" else "unlimited"


def differences(settings: Redis, state: State) -> list[Difference]:
    """Compare the running server with the settings; what it does not show is not compared.

    Args:
        settings: what is wanted.
        state: of the server.
    """
    wanted = {key: " ".join(words) for key, words in settings.options.items()}
    wanted["appendonly"] = "yes" if settings.appendonly else "no"
    found = [
        Difference(key, state.config[key], value)
        for key, value in wanted.items()
        if key in state.config and not same(key, state.config[key], value)
    ]
    if state.leftover and not settings.appendonly and state.config.get("appendonly") == "no":
        # It would be loaded at the next start, old as it is.
        found.append(Difference("appendonly", "left over", "no"))
    return found


def same(key: str, found: str, wanted: str) -> bool:
    """Tell whether two values are the same for Redis.

    Args:
        key: of ``redis.conf``.
        found: as ``CONFIG GET`` writes it.
        wanted: as a person writes it.
    """
    if key == "notify-keyspace-events":
        return sorted(found) == sorted(wanted)
    one, other = _normal(found), _normal(wanted)
    if key == "client-output-buffer-limit":
        return _classes(other) <= _classes(one)
    return one == other


def _classes(words: list[str]) -> set[tuple[str, ...]]:
    """Return the limits of each class of clients; the settings may name some of them."""
    return {tuple(words[at : at + 4]) for at in range(0, len(words), 4)}


_UNITS = {"k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}
_SIZE = re.compile(r"(\d+)([kmg]b?)")


def _normal(text: str) -> list[str]:
    words = []
    for word in text.lower().split(" "):
        match = _SIZE.fullmatch(word)
        size = str(int(match[1]) * _UNITS[match[2]]) if match else word
        words.append("slave" if word == "replica" else size)
    return words


def repairs(differs: Iterable[Difference]) -> list[str]:
    """Return the commands that bring the running server to what is wanted, a line each.

    Args:
        differs: what differs; the append-only file has a way of its own.
    """
    return [
        f"CONFIG SET {one.key} {quoted(one.wanted)}" for one in differs if one.key != "appendonly"
    ]
