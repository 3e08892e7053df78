"""The base of every block of settings, and errors that a person can act on."""

from __future__ import annotations

import difflib
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


def near_miss(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that ``word`` was probably meant to be, if there is one."""
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return close[0] if close else None


def problems(
    model: type[BaseModel], error: ValidationError, *, path: str, source: str | None
) -> list[Problem]:
    """Turn pydantic's errors into problems that name key, finding and remedy."""
    return [
        Problem(path=_key(path, item["loc"]), text=_text(model, dict(item)), source=source)
        for item in error.errors(include_url=False)
    ]


def _key(path: str, loc: tuple[int | str, ...]) -> str:
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path


def _text(model: type[BaseModel], item: Mapping[str, Any]) -> str:
    loc = item["loc"]
    if item["type"] == "extra_forbidden":
        allowed = sorted(_fields_at(model, loc[:-1]))
        guess = near_miss(str(loc[-1]), allowed)
        hint = f"; did you mean {guess!r}?" if guess else ""
        return f"unknown key{hint} Allowed: {', '.join(allowed)}" if allowed else "unknown key"
    text = str(item["msg"]).removeprefix("Value error, ")
    found = item.get("input")
    if item["type"] in ("missing", "value_error", "assertion_error"):
        return "is required" if item["type"] == "missing" else text
    # Only the kind of what was found: a secret typed in the wrong place must not be shown.
    return f"{text}; found {type(found).__name__}"


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
    # An index into a list, or a key of a mapping: go on with what it holds.
    inner = [arg for arg in typing.get_args(_strip(annotation)) if arg is not type(None)]
    return inner[-1] if inner else annotation


def _strip(annotation: Any) -> Any:
    """Take the first real container out of unions such as ``list[X] | None``."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
        return next((arg for arg in options if typing.get_origin(arg)), options[0])
    return annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [found for arg in typing.get_args(annotation) for found in _models(arg)]
    return []
