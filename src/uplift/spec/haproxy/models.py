"""HAProxy in front of the applications of a host."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from uplift.spec.base import Block
from uplift.spec.container.models import FileName
from uplift.spec.secret import SecretRef

CONFIG = "/etc/haproxy/haproxy.cfg"
CERTIFICATES = "/etc/haproxy/certs"
PAGE = "/etc/haproxy/uplift-503.http"
CHANGING = "/var/lib/uplift/haproxy.changing"
"""Is there while files that were written are not loaded yet."""


class Bind(Block):
    """An address on which HAProxy listens.

    Args:
        address: of the host; all of them only when you say so.
        port: of the host.
        tls: with the certificates of the settings.
    """

    address: str = Field(default="127.0.0.1", pattern=r"^[0-9a-fA-F.:*]+$")
    port: int = Field(ge=1, le=65535)
    tls: bool = False


class Certificate(Block):
    """A certificate with its key.

    Args:
        certificate: the certificate, then its chain: PEM text, or a file of it on the controller.
        key: private key as PEM text.
    """

    certificate: str
    key: SecretRef

    @property
    def text(self) -> str | None:
        """Return the PEM text that the settings hold themselves; None: they name a file."""
        return self.certificate if "-----BEGIN " in self.certificate else None


class Timeouts(Block):
    """How long HAProxy waits, in seconds.

    Args:
        connect: for a slot to accept.
        client: for a silent client.
        server: for a silent application.
        tunnel: for a WebSocket on which nothing is said.
    """

    connect: int = Field(default=2, ge=1)
    client: int = Field(default=30, ge=1)
    server: int = Field(default=30, ge=1)
    tunnel: int = Field(default=3600, ge=1)


class Haproxy(Block):
    """HAProxy on a host.

    Args:
        binds: where it listens.
        certificates: by name; needed by binds with TLS.
        maintenance_page: HTML file on the controller, shown while no slot of an application serves.
        statistics_port: on 127.0.0.1 alone: statistics, and ``/metrics``.
        hard_stop_after: seconds for which connections of an old process may stay after a reload.
        timeouts: of connections.
        template: Jinja2 file on the controller that the configuration is made from.
        replace: a configuration of somebody else's may be replaced; it is kept beside it.
    """

    binds: tuple[Bind, ...] = (Bind(port=80),)
    certificates: dict[FileName, Certificate] = Field(default_factory=dict)
    maintenance_page: str | None = None
    statistics_port: int = Field(default=8404, ge=1, le=65535)
    hard_stop_after: int = Field(default=3600, ge=1)
    timeouts: Timeouts = Timeouts()
    template: str = "templates/haproxy.cfg.j2"
    replace: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if any(bind.tls for bind in self.binds) and not self.certificates:
            msg = "binds: one with tls needs certificates"
            raise ValueError(msg)
        places = [(bind.address, bind.port) for bind in self.binds]
        if not places or len(set(places)) < len(places):
            msg = "binds: at least one, and each address and port once"
            raise ValueError(msg)
        return self
