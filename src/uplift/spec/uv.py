"""uv on a host: settings, what a host has, and the difference."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from uplift.spec.base import Block

ROOT = "/opt/uv"
"""Every version has a folder in it; the link ``current`` in it names the active one."""

CURRENT = f"{ROOT}/current"
LINKS = {"uv": "/usr/local/bin/uv", "uvx": "/usr/local/bin/uvx"}
ARCHITECTURES = ("x86_64", "aarch64")

_VERSION = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Checksums(Block):
    """The sha256 of uv's wheel, by the architecture of the host.

    Args:
        x86_64: of the wheel with the tag ``musllinux_1_1_x86_64``.
        aarch64: of the wheel whose tags hold ``musllinux_1_1_aarch64``.
    """

    x86_64: str | None = None
    aarch64: str | None = None

    @field_validator("x86_64", "aarch64")
    @classmethod
    def _check(cls, value: str | None) -> str | None:
        if value is not None and not _SHA256.fullmatch(value):
            msg = "a sha256 is 64 digits and lower-case letters a to f, without a prefix"
            raise ValueError(msg)
        return value


class Uv(Block):
    """The uv that a host has.

    Args:
        version: of uv, for example ``"0.13.8"``.
        sha256: of the wheel for each architecture; when left out, what the index says at first is
            recorded in the project and holds from then on.
        keep: how many other versions stay on a host for a quick way back.
        index: address of the simple index that has uv; when left out, the controller's own pip
            configuration. Credentials stay in the controller's netrc or pip configuration.
    """

    version: str
    sha256: Checksums = Checksums()
    keep: Annotated[int, Field(strict=True, ge=0, le=50)] = 2
    index: str | None = None

    @field_validator("version", mode="before")
    @classmethod
    def _check_version(cls, value: Any) -> Any:
        if isinstance(value, (int, float)):
            msg = f'write it as text with three numbers, for example "0.13.8"; found {value!r}'
            raise ValueError(msg)
        if isinstance(value, str) and not _VERSION.fullmatch(value):
            msg = (
                f"a released version of uv has three numbers, for example '0.13.8'; found {value!r}"
            )
            raise ValueError(msg)
        return value

    @field_validator("index")
    @classmethod
    def _check_index(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "an index is an address such as https://nexus.example.com/repository/pypi/simple"
            raise ValueError(msg)
        if "@" in parts.netloc:
            msg = (
                "an index has no user and password in the settings: put them into the "
                "controller's ~/.netrc"
            )
            raise ValueError(msg)
        return value
