"""Secrets as values that never print themselves, and references to them."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, Self

from pydantic import BaseModel, GetCoreSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema, core_schema

from uplift.spec.base import Block

MASK = "********"

# Words that begin with a letter or digit: a name is also a part of paths and of command lines.
_WORD = "[A-Za-z0-9][A-Za-z0-9._-]*"
NAME = re.compile(f"{_WORD}(/{_WORD})*")


class Secret:
    """A value that shows a mask wherever it is printed, formatted or dumped.

    Args:
        value: the secret itself; only :meth:`reveal` gives it back.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself; call this only where it leaves for its place."""
        return self._value

    def fingerprint(self, key: bytes) -> str:
        """Return a short keyed hash that shows a change without showing the value.

        Args:
            key: random bytes that stay on the controller, so that nobody can test guesses.
        """
        return hmac.new(key, self._value.encode(), hashlib.sha256).hexdigest()[:12]

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            self._value.encode(), other._value.encode()
        )

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        msg = "a Secret cannot be pickled: pass its reference instead"
        raise TypeError(msg)

    def to_json(self) -> str:
        """Return the mask: pyinfra's JSON encoder asks for it."""
        return MASK

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(
            cls,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: MASK),
        )


class SecretRef(Block):
    """The name of a secret; its value is looked up where it is used.

    Args:
        secret: name, words parted by ``/``.
        generate: the value is made up when it is first needed; for the lab alone.
    """

    secret: str
    generate: bool = False

    @model_validator(mode="before")
    @classmethod
    def _only_a_reference(cls, value: Any) -> Any:
        if not isinstance(value, Mapping | SecretRef):
            msg = (
                "must be a reference such as secret('nexus/admin'), stored with "
                "`uplift secrets set nexus/admin`; the value itself never stands in the settings"
            )
            raise ValueError(msg)
        return value

    @field_validator("secret")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            # What was found is not shown: it may be the secret itself.
            msg = (
                "a secret's name is words of letters, digits, '-', '_' and '.', "
                "parted by '/', for example secret('nexus/admin')"
            )
            raise ValueError(msg)
        return name

    def __str__(self) -> str:
        return f"secret({self.secret!r})"


class MadeSecret(Block):
    """The name under which the controller keeps a value that a service makes.

    Not among the references of settings: there is no value before the service made one.

    Args:
        secret: as that of a reference.
        generate: as that of a reference: kept among the secrets of the lab.
    """

    secret: str
    generate: bool = False

    @model_validator(mode="before")
    @classmethod
    def _as_a_reference(cls, value: Any) -> Any:
        ref = SecretRef.model_validate(value)
        return {"secret": ref.secret, "generate": ref.generate}

    @property
    def ref(self) -> SecretRef:
        """Return the reference, for where the value is used."""
        return SecretRef(secret=self.secret, generate=self.generate)

    def __str__(self) -> str:
        return str(self.ref)


def secret(name: str) -> dict[str, str]:
    """Refer to a secret in group data; plain data, so that pyinfra can print and dump it.

    Args:
        name: as in ``uplift secrets set NAME``, for example ``nexus/admin``.
    """
    return {"secret": name}


def lab_secret(name: str) -> dict[str, Any]:
    """Refer to a secret of the lab, which is made up when it is first needed.

    Args:
        name: as for :func:`secret`.
    """
    return {"secret": name, "generate": True}


def references(value: Any) -> list[SecretRef]:
    """Return every reference to a secret inside settings, in their order, each once.

    Args:
        value: a block of settings, or plain containers of them.
    """
    return list(dict.fromkeys(_references(value)))


def _references(value: Any) -> Iterator[SecretRef]:
    if isinstance(value, SecretRef):
        yield value
    elif isinstance(value, BaseModel):
        yield from _references([held for _, held in value])
    elif isinstance(value, Mapping):
        yield from _references(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for held in value:
            yield from _references(held)
