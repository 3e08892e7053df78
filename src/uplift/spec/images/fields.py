"""Kinds of values in the settings of images, each with an error that says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import AfterValidator

from uplift.spec.container.image import Reference
from uplift.spec.images.tokens import name_is_secret, value_is_secret

T = TypeVar("T")

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = "io.uplift."


def _matches(pattern: str, what: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            msg = f"{what}; found {value!r}"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


def _repository(name: str) -> str:
    reference = Reference.parse(name)
    if reference.digest or reference.tag != "latest" or name.endswith(":latest"):
        msg = "is the repository alone: its tags are made from 'version' and 'builder'"
        raise ValueError(msg)
    return name


def _image(name: str) -> str:
    Reference.parse(name)
    return name


def _line(word: str) -> str:
    if not word or not word.isprintable():
        msg = "is one line of text that is not empty"
        raise ValueError(msg)
    return word


Repository = Annotated[str, AfterValidator(_repository)]
ImageName = Annotated[str, AfterValidator(_image)]
Line = Annotated[str, AfterValidator(_line)]
# A tag is VERSION-BUILDER-HASH, at most 128 characters.
Version = Annotated[
    str,
    _matches(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}",
        "is the beginning of a tag: letters, digits, '.', '_', '-', at most 64",
    ),
]
Revision = Annotated[
    str,
    _matches(
        r"[A-Za-z0-9_][A-Za-z0-9_./^~-]{0,199}",
        "must be a commit, a tag or a branch of the source's repository",
    ),
]
Python = Annotated[
    str,
    _matches(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?", "write a version as text, for example '3.13'"),
]
Package = Annotated[
    str,
    _matches(
        r"[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?",
        "must be a Debian package, as 'libpq5' or 'libpq5=16.2-1'",
    ),
]
Path = Annotated[
    str,
    _matches(
        r"(?!/)(?!(.*/)?\.\.(/|$))[A-Za-z0-9_.@+/-]*[A-Za-z0-9_.@+-]",
        "must be a path inside the source, without '..', blanks and '/' at its ends",
    ),
]
Platform = Annotated[
    str,
    _matches(
        r"linux/(amd64|arm64|arm/v7|386|ppc64le|s390x|riscv64)",
        "must be a platform such as 'linux/amd64'",
    ),
]
Size = Annotated[str, _matches(r"[1-9][0-9]*(MB|GB)", "must be a size such as '10GB' or '500MB'")]


def each_once(platforms: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a platform that is listed twice."""
    for one in platforms:
        if platforms.count(one) > 1:
            msg = f"{one} is listed twice"
            raise ValueError(msg)
    return platforms


def labels_of_its_own(labels: dict[str, str]) -> dict[str, str]:
    """Refuse labels that are ours, or secrets."""
    for key in labels:
        if not _KEY.fullmatch(key) or key.startswith(_OURS):
            msg = f"{key!r} is no name of a label of your own ({_OURS}… are ours)"
            raise ValueError(msg)
    _public(labels)
    return labels


def arguments(given: dict[str, str]) -> dict[str, str]:
    """Refuse build arguments that are secrets."""
    for key in given:
        if not _ARGUMENT.fullmatch(key):
            msg = f"{key!r} is no name of an argument"
            raise ValueError(msg)
    _public(given)
    return given


def secret_ids(given: dict[str, T]) -> dict[str, T]:
    """Refuse ids that BuildKit would not understand, and the one that is ours."""
    for key in given:
        if not _KEY.fullmatch(key) or key == "netrc":
            msg = f"{key!r} is no id for a secret; 'netrc' is that of the index"
            raise ValueError(msg)
    return given


def _public(values: Mapping[str, str]) -> None:
    for key, value in values.items():
        if not value.isprintable():
            msg = f"{key}: a value is one line of text"
            raise ValueError(msg)
        if name_is_secret(key) or value_is_secret(value):
            msg = (
                f"{key}: looks like a secret, and everybody who pulls the image could read it: "
                "give a build its secrets under 'secrets', and a running container by its own"
            )
            raise ValueError(msg)
