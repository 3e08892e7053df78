"""The base of every block of settings, and errors that a person can act on."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from uplift.spec.errors import Problem, SettingsError


class Block(BaseModel):
    """A typed part of the settings: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def parse(cls, value: Any, *, path: str, source: str | None = None) -> Self:
        """Validate a value of the group data.

        Args:
            value: plain data as it stands in the group data.
            path: key under which it stands, for the error text.
            source: file in which it stands, for the error text.

        Raises:
            SettingsError: names the file, the key, what was found and what is allowed.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise SettingsError(problems(cls, error, path=path, source=source)) from None


def near_miss(word: str, allowed: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the allowed word that ``word`` was probably meant to be, if there is one.

    Args:
        word: what was typed.
        allowed: what could have been typed.
        cutoff: how alike they must be, from 0 to 1.
    """
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=cutoff)
    return close[0] if close else None


def problems(
    model: type[BaseModel], error: ValidationError, *, path: str, source: str | None
) -> list[Problem]:
    """Turn pydantic's errors into problems that name key, finding and remedy.

    Args:
        model: what the value was validated against.
        error: what pydantic found.
        path: key of the value; empty when the model's own fields are the top.
        source: the file that holds the value, where it is known.
    """
    return [
        Problem(path=_key(path, item["loc"]), text=_text(model, dict(item)), source=source)
        for item in error.errors(include_url=False)
    ]


def _key(path: str, loc: tuple[int | str, ...]) -> str:
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def _text(model: type[BaseModel], item: Mapping[str, Any]) -> str:
    kind = item["type"]
    if kind == "extra_forbidden":
        return _unknown(str(item["loc"][-1]), _fields_at(model, item["loc"][:-1]))
    if kind == "missing":
        return "is required"
    if kind == "model_type":
        return f"keys with their values belong here; found {_found(item)}"
    text = str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind in ("value_error", "assertion_error"):
        return text
    return f"{text}; found {_found(item)}"


def _unknown(word: str, allowed: Iterable[str]) -> str:
    known = sorted(allowed)
    if not known:
        return "unknown key"
    guess = near_miss(word, known)
    hint = f", did you mean {guess!r}?" if guess else "."
    return f"unknown key{hint} Allowed: {', '.join(known)}"


# Errors about a single plain value. A secret is never such a value: where one belongs, a
# reference is expected, and what stands there instead is shown by its type alone.
_PLAIN = ("int_", "float_", "bool_", "string_", "greater_", "less_", "multiple_", "finite_")


def _found(item: Mapping[str, Any]) -> str:
    """Describe what was found; text only by its type, as it may be a secret in a wrong place."""
    value, kind = item.get("input"), type(item.get("input")).__name__
    if value is None:
        return "None"
    if isinstance(value, bool | int | float) and str(item["type"]).startswith(_PLAIN):
        return f"{kind} {value!r}"
    if isinstance(value, str):
        # An allowed word in another spelling gives nothing away but itself.
        guess = near_miss(value, re.findall(r"'([^']+)'", str(item.get("ctx", {}))))
        return f"{kind}, did you mean {guess!r}?" if guess else kind
    return kind


def _fields_at(model: type[BaseModel], loc: Iterable[int | str]) -> set[str]:
    """Return the keys that are allowed at a place inside a model."""
    annotation: Any = model
    for part in loc:
        annotation = _step(annotation, part)
    return {name for found in _models(annotation) for name in found.model_fields}


def _step(annotation: Any, part: int | str) -> Any:
    for found in _models(annotation):
        if part in found.model_fields:
            return found.model_fields[str(part)].annotation
    for option in _options(annotation):
        # A list, tuple or mapping: go on with what it holds.
        held = [arg for arg in typing.get_args(option) if arg is not Ellipsis]
        if held:
            return held[-1]
    return annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [
        option
        for option in _options(annotation)
        if isinstance(option, type) and issubclass(option, BaseModel)
    ]


def _options(annotation: Any) -> list[Any]:
    """Return what a type may be: the members of a union, without ``None`` and metadata."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _options(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [found for arg in typing.get_args(annotation) for found in _options(arg)]
    return [] if annotation is types.NoneType else [annotation]
