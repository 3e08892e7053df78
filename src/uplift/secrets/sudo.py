"""The answer to sudo's question for a password: a group data key that refers to a secret.

On its way it goes into standard input, first: a command line is seen by every user of the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from uplift.secrets.lookup import resolve
from uplift.spec.secret import MASK, SecretRef

KEY = "sudo_password"
REFUSED = "incorrect password"
REMEDY = f"Correct the secret that {KEY} names in group data (or _{KEY})."


def reference(data: Mapping[str, Any]) -> SecretRef | None:
    """Return the secret that a host's data refers to.

    Args:
        data: of the host, as pyinfra merged it.

    Raises:
        SettingsError: the value is not a reference.
    """
    value = data.get(KEY)
    return None if value is None else SecretRef.parse(value, path=KEY)


def password(data: Mapping[str, Any]) -> str:
    """Return what sudo is answered on a host: pyinfra's own value, else that secret, else nothing.

    Args:
        data: of the host, as pyinfra merged it.

    Raises:
        MissingSecretError: no provider has the secret.
    """
    if not data.get("_sudo"):
        return ""
    own = data.get("_sudo_password")
    found = reference(data)
    if own or found is None:
        return str(own or "")
    return resolve(found).reveal()


# Ends what is for sudo; where it needs no password after all, that must not reach the command.
_BEGIN = "uplift-begin"
_SKIP = f'while IFS= read -r line && [ "$line" != {_BEGIN} ]; do :; done; unset line; '


def flags(password: str) -> list[str]:
    """Return the options with which sudo asks nobody: it reads a password from standard input.

    Args:
        password: empty when there is none.
    """
    # -k: a sudo that remembers the password would leave it to the command.
    return ["-k", "-S", "-p", ""] if password else ["-n"]


def before(password: str) -> str:
    """Return shell text that must run before the command: it leaves of the input the command's.

    Args:
        password: empty when there is none.
    """
    return _SKIP if password else ""


def answer(password: str) -> list[str]:
    """Return the lines that go into standard input before what is for the command.

    Args:
        password: empty when there is none.
    """
    return [password, _BEGIN] if password else []


def unechoed(password: str, lines: Iterable[str]) -> list[str]:
    """Return output without what a terminal repeated of the input.

    Args:
        password: empty when there is none.
        lines: of the output.
    """
    said = [line for line in lines if line not in answer(password)]
    return [line.replace(password, MASK) for line in said] if password else said
