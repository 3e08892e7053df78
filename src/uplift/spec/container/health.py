"""When a container is healthy: asked inside it, from the host, or by the image's own check."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from uplift.spec.base import Block
from uplift.spec.secret import SecretRef


class Http(Block):
    """An HTTP request that the host makes to the container's own address.

    Args:
        port: in the container.
        path: with its query.
        scheme: with ``https`` the certificate is not checked: this asks for life, not for trust.
        status: answers that mean health.
        bearer: token of an ``Authorization: Bearer`` header, for services of which only an answer
            to somebody they know proves that they serve.
    """

    port: int = Field(ge=1, le=65535)
    path: str = Field(default="/", pattern=r"^/[\x21-\x7e]*$")
    scheme: Literal["http", "https"] = "http"
    status: tuple[int, ...] = (200, 204)
    bearer: SecretRef | None = None


class Health(Block):
    """How it is known that a container serves; without a check, that it keeps running.

    Args:
        command: run in the container; exit code 0 means health.
        http: request from the host, so that images need no curl.
        tcp: port in the container that accepts connections from the host.
        image: the image's own HEALTHCHECK is asked.
        interval: seconds between two checks.
        timeout: seconds that a check may take.
        retries: this many failures on end are one too many, after the start period.
        start_period: seconds in which failures do not count.
        stable: seconds for which the container must stay healthy before it is taken as good.
    """

    command: tuple[str, ...] | None = None
    http: Http | None = None
    tcp: int | None = Field(default=None, ge=1, le=65535)
    image: bool = False
    interval: int = Field(default=1, ge=1, le=300)
    timeout: int = Field(default=5, ge=1, le=300)
    retries: int = Field(default=3, ge=1, le=1000)
    start_period: int = Field(default=60, ge=0, le=3600)
    stable: int = Field(default=5, ge=0, le=3600)

    @model_validator(mode="after")
    def _one_check(self) -> Self:
        given = [self.command, self.http, self.tcp, self.image or None]
        if sum(one is not None for one in given) > 1:
            msg = "one check at most: command, http, tcp or image"
            raise ValueError(msg)
        if self.command == ():
            msg = "command is at least one word"
            raise ValueError(msg)
        return self

    @property
    def limit(self) -> int:
        """Return the seconds after which a container that is not good yet has failed."""
        return self.start_period + self.retries * (self.interval + self.timeout) + 3 * self.stable
