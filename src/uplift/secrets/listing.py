"""Which secrets there are, without their values; and how a project gets its first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from uplift.secrets import files
from uplift.secrets.providers import Lab, variable
from uplift.secrets.store import (
    IDENTITY_VARIABLE,
    STORE,
    Store,
    new_identity,
    own_identity_path,
    public_key,
    recipient_lines,
)
from uplift.spec.secret import Secret


@dataclass(frozen=True)
class Entry:
    """A secret that there is.

    Args:
        name: of the secret; of the environment variable when no file knows the name.
        provider: the place that it comes from.
    """

    name: str
    provider: str


def entries(folder: Path, *, lab: bool = False) -> list[Entry]:
    """Return what there is, in alphabetical order; a command's secrets are not known by name.

    Args:
        folder: the project's.
        lab: those of the lab instead.
    """
    names = list(Lab(folder).values() if lab else Store(folder).values())
    place = Lab(folder).path.name if lab else STORE
    variables = {variable(name) for name in names}
    found = [
        Entry(name, "environment" if variable(name) in os.environ else place) for name in names
    ]
    found += [
        Entry(key, "environment")
        for key in os.environ
        if key.startswith(variable("")) and key not in variables
    ]
    return sorted(found, key=lambda entry: entry.name)


@dataclass(frozen=True)
class Setup:
    """What `init` did.

    Args:
        identity: file of the own key.
        made_key: there was none before.
        listed: the key was added to the list of recipients.
        made_store: there was no file of secrets before.
        readable: the secrets can be read with this key.
    """

    identity: Path
    made_key: bool
    listed: bool
    made_store: bool
    readable: bool


def set_up(store: Store) -> Setup:
    """Have a key, be in the list of recipients, and have a file of secrets.

    Args:
        store: of the project.
    """
    path = store.identity_path()
    made_key = path is None
    if path is None:
        named = os.environ.get(IDENTITY_VARIABLE)
        path = Path(named).expanduser() if named else own_identity_path()
        new_identity(path)
    listed = _add_recipient(store, path)
    made_store = not store.path.exists()
    if made_store:
        store.write(store.read())
    return Setup(path, made_key, listed, made_store, _readable(store))


def _add_recipient(store: Store, identity: Path) -> bool:
    key = public_key(identity)
    if key is None or key in recipient_lines(store.recipients_path):
        return False
    path = store.recipients_path
    text = path.read_text(encoding="utf-8") if path.exists() else _RECIPIENTS
    text = text if text.endswith("\n") else text + "\n"
    owner = os.environ.get("USER") or "unknown"
    files.write_private(path, f"{text}# {owner}\n{key}\n".encode(), 0o644)
    return True


_RECIPIENTS = (
    "# Who can read secrets.age: public keys, one a line (age1…, ssh-ed25519, ssh-rsa).\n"
    "# After a change: uplift secrets rekey\n"
)


def _readable(store: Store) -> bool:
    """Return whether the own key opens the file: not so for a new member of a team."""
    from uplift.secrets.errors import SecretsError

    try:
        store.read()
    except SecretsError:
        return False
    return True


def rekey(store: Store) -> int:
    """Encrypt the file anew for everyone in the list, and return how many they are.

    Args:
        store: of the project.
    """
    text: Secret = store.read()
    store.write(text)
    return len(recipient_lines(store.recipients_path))
