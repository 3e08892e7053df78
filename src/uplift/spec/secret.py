"""Secrets as values that never print themselves, and references to them."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, NoReturn

from pydantic import ConfigDict, GetCoreSchemaHandler, field_validator
from pydantic_core import CoreSchema, core_schema

from uplift.spec.base import Block

MASK = "********"


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

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        msg = "a Secret cannot be pickled or copied: pass its reference instead"
        raise TypeError(msg)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(
            cls,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: MASK),
        )


class SecretRef(Block):
    """The name of a secret; its value is looked up where it is used."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    secret: str

    @field_validator("secret")
    @classmethod
    def _check_name(cls, name: str) -> str:
        parts = name.split("/")
        if not all(
            part and part.replace("-", "").replace("_", "").replace(".", "").isalnum()
            for part in parts
        ):
            msg = (
                f"a secret's name is words of letters, digits, '-', '_' and '.', "
                f"parted by '/', for example 'nexus/admin'; found {name!r}"
            )
            raise ValueError(msg)
        return name

    def __str__(self) -> str:
        return f"secret({self.secret!r})"


def secret(name: str) -> dict[str, str]:
    """Refer to a secret in group data; plain data, so that pyinfra can print and dump it.

    Args:
        name: as in ``uplift secrets set NAME``, for example ``nexus/admin``.
    """
    return {"secret": name}
