"""When a subject is backed up, where to, and how many backups stay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from uplift.spec.base import Block
from uplift.spec.secret import SecretRef

_TARGET = re.compile(
    r"(?:(?P<login>[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*):)?"
    r"(?P<path>(?:/[A-Za-z0-9_+][A-Za-z0-9_.+-]*)+)"
)
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
_DAYS = rf"{_DAY}(?:(?:\.\.|,){_DAY})*"
_DATE = r"[0-9*/,.~]+-[0-9*/,.~-]+"
_TIME = r"[0-9*/,.]+:[0-9*/,.]+(?::[0-9*/,.]+)?"
_SCHEDULE = re.compile(
    r"minutely|hourly|daily|weekly|monthly|quarterly|semiannually|yearly|annually|"
    rf"(?=\S)(?:{_DAYS})?(?:(?:^|(?<=[a-z]) ){_DATE})?(?:(?:^|(?<=\S) ){_TIME})?(?: [A-Za-z_/+-]+)?"
)
_HOST_KEY = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}")


def _target(value: str) -> str:
    if not _TARGET.fullmatch(value):
        msg = (
            "a folder of the host, as '/srv/backup', or 'user@host:/srv/backup' for another host; "
            f"the path is letters, digits and '_+.-'; found {value!r}"
        )
        raise ValueError(msg)
    return value


def _schedule(value: str) -> str:
    if not _SCHEDULE.fullmatch(value):
        msg = (
            "a time of systemd's OnCalendar, as 'daily', '*-*-* 03:15:00' or 'Sun 04:00', "
            f"tried by: systemd-analyze calendar '…'; found {value!r}"
        )
        raise ValueError(msg)
    return value


def _host_key(value: str) -> str:
    line = " ".join(value.split()[:2])
    if not _HOST_KEY.fullmatch(line):
        msg = (
            "the public key of the target, as 'ssh-ed25519 AAAA…': its file is "
            "/etc/ssh/ssh_host_ed25519_key.pub there"
        )
        raise ValueError(msg)
    return line


class Keep(Block):
    """Which backups stay; one that any of the three numbers keeps, stays.

    Args:
        last: this many, the newest.
        daily: the newest one of each of this many days that have one.
        weekly: the newest one of each of this many weeks that have one.
    """

    last: int = Field(default=3, ge=1, le=10_000)
    daily: int = Field(default=7, ge=0, le=10_000)
    weekly: int = Field(default=4, ge=0, le=10_000)


class Ssh(Block):
    """How to log in where the backups go.

    Args:
        host_key: of the target; another one is refused.
        port: of its SSH server.
        key: private key in OpenSSH's format, without a passphrase; when it is left out, the host
            makes one of its own and the run prints the public half.
    """

    host_key: Annotated[str, AfterValidator(_host_key)]
    port: int = Field(default=22, ge=1, le=65535)
    key: SecretRef | None = None


@dataclass(frozen=True)
class Target:
    """Where backups go.

    Args:
        login: ``user@host``, or nothing for a folder of the host itself.
        path: folder; each subject has its own in it.
    """

    login: str
    path: str


class Backup(Block):
    """Backups of one subject.

    Args:
        target: ``/folder`` of the host, or ``user@host:/folder``.
        schedule: OnCalendar of systemd.
        ssh: for a target on another host.
        keep: which stay.
        container: whose data it is.
        max_age_hours: verification complains when the newest one is older.
    """

    target: Annotated[str, AfterValidator(_target)]
    schedule: Annotated[str, AfterValidator(_schedule)] = "*-*-* 03:15:00"
    ssh: Ssh | None = None
    keep: Keep = Keep()
    container: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,62}$")
    max_age_hours: int = Field(default=26, ge=1)

    @property
    def place(self) -> Target:
        """Return the target in its parts."""
        found = _TARGET.fullmatch(self.target)
        if found is None:  # pragma: no cover - the validator has seen to it
            raise ValueError(self.target)
        return Target(found["login"] or "", found["path"])

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if self.place.login and self.ssh is None:
            msg = "ssh is required for a target on another host: {'host_key': 'ssh-ed25519 AAAA…'}"
            raise ValueError(msg)
        if self.ssh and not self.place.login:
            msg = "ssh is for a target on another host, as 'user@host:/srv/backup'"
            raise ValueError(msg)
        return self
