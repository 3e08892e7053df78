"""The users of a registry: an htpasswd file of bcrypt hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from uplift.spec.registry.models import Registry
from uplift.spec.secret import Secret, SecretRef

LONGEST = 72
"""Bytes of a password that bcrypt looks at."""

Fits = Callable[[str, str], bool]
Make = Callable[[str], str]


def faults(settings: Registry, values: Mapping[SecretRef, Secret]) -> list[str]:
    """Return why a password cannot be used, one line each; never shows any.

    Args:
        settings: the block ``registry``.
        values: of its secrets.
    """
    found = []
    for user in settings.users:
        password = values[user.password].reveal()
        if not password or not password.isprintable():
            reason = "is empty, or holds a line end or another sign that `docker login` loses"
        elif len(password.encode()) > LONGEST:
            reason = f"is longer than {LONGEST} bytes, of which bcrypt takes no more"
        else:
            continue
        found.append(f"registry.users: {user.name}: {user.password} {reason}")
    return found


def merge(
    text: str, users: Mapping[str, Secret], fits: Fits, make: Make
) -> tuple[str, tuple[str, ...]]:
    """Return the file's new text, and what changes in it.

    A hash is salted, so the same password has another one each time: one that fits is kept.

    Args:
        text: of the file, empty when there is none.
        users: passwords by name, in the order of the settings.
        fits: tells whether a hash is that of a password.
        make: hashes a password.
    """
    have = dict(_pairs(text.splitlines()))
    words, lines = [], []
    for name, password in users.items():
        hashed = have.get(name)
        if hashed is None:
            words.append(f"user {name} added")
        elif not fits(password.reveal(), hashed):
            words.append(f"user {name}: password changed")
        else:
            lines.append(f"{name}:{hashed}")
            continue
        lines.append(f"{name}:{make(password.reveal())}")
    words += [f"user {name} removed" for name in have if name not in users]
    new = "".join(f"{line}\n" for line in lines)
    if new != text and not words:
        words.append("users: order, comments or twins put right")
    return new, tuple(words)


def _pairs(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Return names and hashes as the server reads them: of twins, the last one counts."""
    for line in lines:
        name, colon, hashed = line.strip().partition(":")
        if colon and not name.startswith("#"):
            yield name, hashed
