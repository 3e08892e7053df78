"""The tokens of an InfluxDB that a host needs which is not the server's own."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from uplift.spec.base import Block
from uplift.spec.influxdb.models import File, Owner
from uplift.spec.secret import MadeSecret


class ClientToken(Block):
    """A token in a file, 0600.

    Args:
        secret: name under which the controller keeps it: that of the token in ``influxdb``.
        file: on this host; its folder must be there, and only root's.
        owner: user whom the file belongs to.
    """

    secret: MadeSecret
    file: File
    owner: Owner = "root"


class InfluxDBClient(Block):
    """The tokens that a host needs.

    Args:
        tokens: each with its file.
    """

    tokens: tuple[ClientToken, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _once(self) -> Self:
        files = [it.file for it in self.tokens]
        twice = [file for file in files if files.count(file) > 1]
        if twice:
            msg = f"file {twice[0]!r} stands here more than once"
            raise ValueError(msg)
        return self
