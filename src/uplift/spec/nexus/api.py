"""Blocks of settings that are parts of Nexus's REST API: snake_case here, camelCase there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AliasGenerator, BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from uplift.spec.base import Block, near_miss

Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9\-][a-zA-Z0-9_\-.]*$")]
"""Name of a repository, a blob store, a rule: what the server takes."""

Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$")]
"""Text on one line."""


class Api(Block):
    """A part of a request to Nexus.

    What stands in the settings is wanted. An optional field that is left out is left as the server
    has it; one that is None is taken away.
    """

    model_config = ConfigDict(
        alias_generator=AliasGenerator(serialization_alias=to_camel),
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    def wanted(self) -> dict[str, Any]:
        """Return the fields that are wanted, under the names of the API; secrets stay references.

        Fields that are not the API's have ``exclude=True``.
        """
        found: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            left_out = value is None and name not in self.model_fields_set
            if not field.exclude and not left_out:
                found[field.serialization_alias or to_camel(name)] = _plain(value)
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, Api):
        return value.wanted()
    if isinstance(value, BaseModel):
        return value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def snake(path: str) -> str:
    """Return a key of the API as it is called in the settings.

    Args:
        path: keys joined by dots.
    """
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in path)


def twice(names: Iterable[str]) -> list[str]:
    """Return the names that stand there more than once, whatever their letter case.

    Args:
        names: as they stand in the settings.
    """
    names = list(names)
    often = Counter(name.casefold() for name in names)
    return sorted(name for name in names if often[name.casefold()] > 1)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the text of an error about a name that refers to nothing.

    Args:
        kind: what it should name.
        name: as it stands in the settings.
        known: what could stand there.
    """
    known = sorted(known)
    guess = near_miss(name, known)
    hint = f", did you mean {guess!r}?" if guess else f"; there are: {', '.join(known) or 'none'}"
    return f"{kind} {name!r} is not in these settings{hint}"
