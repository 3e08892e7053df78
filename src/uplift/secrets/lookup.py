"""Look up secrets: each place in its order, each secret once a process."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from uplift.secrets.errors import MissingSecretError, SecretsError
from uplift.secrets.files import locked
from uplift.secrets.providers import Absent, AgeFile, Command, Environment, Lab, Provider, variable
from uplift.secrets.store import Store
from uplift.spec.secret import Secret, SecretRef, references


def resolve(ref: SecretRef | str) -> Secret:
    """Return the value of a secret.

    The project folder is the current one, as for pyinfra.

    Args:
        ref: reference as it stands in the settings, or a name.

    Raises:
        MissingSecretError: no place has it; names every place that was asked, and the remedy.
        SecretsError: a place cannot be used as it is.
    """
    found = _look(_as_ref(ref))
    if isinstance(found, Secret):
        return found
    raise _missing({_as_ref(ref): found})


def require(settings: Any) -> dict[SecretRef, Secret]:
    """Return the values of all secrets that settings refer to.

    Args:
        settings: a block, or plain containers of blocks.

    Raises:
        MissingSecretError: names all that are missing at once.
    """
    found = {ref: _look(ref) for ref in references(settings)}
    absent = {ref: value for ref, value in found.items() if not isinstance(value, Secret)}
    if absent:
        raise _missing(absent)
    return {ref: value for ref, value in found.items() if isinstance(value, Secret)}


def missing(refs: Iterable[SecretRef]) -> list[MissingSecretError]:
    """Return an error for each secret that no place has.

    Args:
        refs: references as they stand in the settings.
    """
    looked = {ref: _look(ref) for ref in refs}
    return [_missing({ref: it}) for ref, it in looked.items() if not isinstance(it, Secret)]


def peek(ref: SecretRef) -> Secret | None:
    """Return the value of a secret if there is one; none is made up.

    Args:
        ref: reference as it stands in the settings.

    Raises:
        SecretsError: a place cannot be used as it is.
    """
    if ref.generate and not isinstance(Environment().look(ref.secret), Secret):
        return Lab(Path.cwd()).values().get(ref.secret)
    found = _look(ref)
    return found if isinstance(found, Secret) else None


def check_keepable(ref: SecretRef) -> None:
    """Refuse early what :func:`keep` would refuse for any value.

    Args:
        ref: under which a value shall be kept.

    Raises:
        SecretsError: an environment variable goes over the store, or the store cannot be written.
    """
    if variable(ref.secret) in os.environ:
        raise SecretsError(
            f"{ref} is made by the service, and the environment variable {variable(ref.secret)} "
            "would go over what is kept: unset it"
        )
    if not ref.generate:
        Store(Path.cwd()).check_writable()


def keep(ref: SecretRef, value: Secret) -> None:
    """Keep a value that a service made: in ``secrets.age``, or among the secrets of the lab.

    Args:
        ref: under which it is found again.
        value: the secret.

    Raises:
        SecretsError: it cannot be kept.
    """
    check_keepable(ref)
    folder = Path.cwd()
    if ref.generate:
        Lab(folder).put(ref.secret, value)
    else:
        with locked(folder, "secrets", wait=10):
            Store(folder).set(ref.secret, value)
    forget()


def resolved() -> list[Secret]:
    """Return every secret that this process has looked up."""
    return list(_found.values())


def forget() -> None:
    """Look up every secret anew, after the places have changed."""
    _found.clear()
    _providers.cache_clear()


_found: dict[tuple[Path, SecretRef], Secret] = {}


def _look(ref: SecretRef) -> Secret | list[Absent]:
    folder = Path.cwd()
    if (folder, ref) in _found:
        return _found[folder, ref]
    absent = []
    for provider in _providers(folder, ref.generate):
        answer = provider.look(ref.secret)
        if isinstance(answer, Secret):
            _found[folder, ref] = answer
            return answer
        absent.append(answer)
    return absent


@cache
def _providers(folder: Path, generate: bool) -> tuple[Provider, ...]:
    """Return the places in the order in which they are asked; the lab never sees other secrets."""
    if generate:
        return (Environment(), Lab(folder))
    return (Environment(), AgeFile(Store(folder)), Command(folder))


def _missing(absent: dict[SecretRef, list[Absent]]) -> MissingSecretError:
    asked = {ref.secret: {it.place: it.answer for it in places} for ref, places in absent.items()}
    remedies = {
        name: f"Store it: uplift secrets set {name}   (or set {variable(name)})" for name in asked
    }
    return MissingSecretError(asked, remedies)


def _as_ref(ref: SecretRef | str) -> SecretRef:
    return ref if isinstance(ref, SecretRef) else SecretRef(secret=ref)
