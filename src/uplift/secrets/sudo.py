"""The answer to sudo's question for a password: a group data key that refers to a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uplift.secrets.lookup import resolve
from uplift.spec.secret import SecretRef

KEY = "sudo_password"


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
