"""What an InfluxDB 2.7 shall hold, as it stands in the group data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from uplift.spec.base import Block, near_miss
from uplift.spec.duration import Duration
from uplift.spec.influxdb.server import Server
from uplift.spec.secret import MadeSecret, SecretRef

HOUR = 3600

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?")
_PATH = re.compile(r"(/[A-Za-z0-9_@+][A-Za-z0-9._@+-]*)+")
_OWNER = re.compile(r"[a-z_][a-z0-9_-]*")
_ROTATED = re.compile(r"(.*) \(rotation [^()]*\)")


def _check_name(text: str) -> str:
    if not text.strip() or text != text.strip() or _CONTROL.search(text):
        msg = "a name is text on one line, without blanks at its ends"
        raise ValueError(msg)
    return text


def check_path(path: str) -> str:
    """Return the path of a token's file as it may stand in the settings.

    Raises:
        ValueError: it is none.
    """
    if not _PATH.fullmatch(path):
        msg = "a file is an absolute path of letters, digits, '.', '_', '@', '+' and '-'"
        raise ValueError(msg)
    return path


def check_owner(owner: str) -> str:
    """Return the name of a user as it may stand in the settings.

    Raises:
        ValueError: it is none.
    """
    if not _OWNER.fullmatch(owner):
        msg = "an owner is the name of a user of the host"
        raise ValueError(msg)
    return owner


Name = Annotated[str, AfterValidator(_check_name)]
File = Annotated[str, AfterValidator(check_path)]
Owner = Annotated[str, AfterValidator(check_owner)]


class Setup(Block):
    """What the server is set up with when it is empty; later the way in.

    Args:
        user: first user.
        password: of this user, 8 to 72 bytes.
        organisation: first organisation.
        bucket: first bucket; it stands in ``buckets`` too, with its retention.
        token: operator token; the server takes the value that is given.
    """

    user: Name
    password: SecretRef
    organisation: Name
    bucket: Name
    token: SecretRef


class Bucket(Block):
    """A bucket.

    Args:
        name: must not begin with ``_``: these are the server's own.
        organisation: whose it is; that of the setup when left out.
        retention: how long points are kept, at least ``1h``, or ``infinite``.
        shard_group_duration: how much time one shard group holds; the server's choice, and not
            compared, when left out.
        allow_data_loss: a retention that is shorter than the server's may be set.
    """

    name: Name
    organisation: Name | None = None
    retention: Duration = 0
    shard_group_duration: Duration | None = None
    allow_data_loss: bool = False

    @field_validator("name")
    @classmethod
    def _not_the_servers(cls, name: str) -> str:
        if name.startswith("_"):
            msg = "names that begin with '_' are the server's own buckets"
            raise ValueError(msg)
        return name

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        if 0 < self.retention < HOUR:
            msg = "retention must be at least 1h"
            raise ValueError(msg)
        if self.shard_group_duration is None:
            return self
        if self.shard_group_duration < HOUR:
            msg = "shard_group_duration must be at least 1h, and cannot be infinite"
            raise ValueError(msg)
        if 0 < self.retention < self.shard_group_duration:
            msg = "shard_group_duration must not be longer than retention"
            raise ValueError(msg)
        return self


class User(Block):
    """A user who signs in with a password.

    Args:
        name: without a colon.
        password: 8 to 72 bytes.
    """

    name: Name
    password: SecretRef


class Token(Block):
    """A token for some buckets, made by the server; a file or the controller's store keeps it.

    Args:
        description: by which it is found again.
        organisation: whose it is; that of the setup when left out.
        read: buckets of the organisation that it may read.
        write: buckets of the organisation that it may write.
        rotation: any word; another one than before asks for a new token in place of the old one.
        file: on the server's host, 0600; its folder must be there, and only root's.
        owner: user whom the file belongs to.
        secret: name under which the controller keeps it, for other hosts.
    """

    description: Name
    organisation: Name | None = None
    read: tuple[Name, ...] = ()
    write: tuple[Name, ...] = ()
    rotation: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$")
    file: File | None = None
    owner: Owner = "root"
    secret: MadeSecret | None = None

    @field_validator("description")
    @classmethod
    def _no_rotation(cls, description: str) -> str:
        if _ROTATED.fullmatch(description):
            msg = "a description does not end in '(rotation …)': that is what 'rotation' is for"
            raise ValueError(msg)
        return description

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.read and not self.write:
            msg = "a token needs a bucket in 'read' or in 'write'"
            raise ValueError(msg)
        if self.file is None and self.secret is None:
            msg = "a token needs a place: 'file' on the server's host, 'secret' on the controller"
            raise ValueError(msg)
        return self

    @property
    def label(self) -> str:
        """Return what the server calls it: one of another rotation is another token."""
        tail = f" (rotation {self.rotation})" if self.rotation else ""
        return f"{self.description}{tail}"

    def is_kin(self, label: str) -> bool:
        """Tell whether a token on the server is this one, of whatever rotation.

        Args:
            label: its description on the server.
        """
        match = _ROTATED.fullmatch(label)
        return (match[1] if match else label) == self.description


class InfluxDB(Block):
    """An InfluxDB 2.7: its container, and what it shall hold.

    Args:
        container: of the server; None for one that is made by other means.
        address: of the server as its host sees it; the container's port when left out.
        setup: for an empty server, and the way in.
        organisations: beside that of the setup.
        buckets: what the server's own buckets are beside is left alone.
        users: beside that of the setup.
        tokens: each with the file or the secret that keeps it.
    """

    container: Server | None = None
    address: str = "http://127.0.0.1:8086"
    setup: Setup
    organisations: tuple[Name, ...] = ()
    buckets: tuple[Bucket, ...]
    users: tuple[User, ...] = ()
    tokens: tuple[Token, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _published(cls, value: Any) -> Any:
        """Take the address from the container."""
        if not isinstance(value, Mapping) or not value.get("container") or "address" in value:
            return value
        try:
            server = Server.model_validate(value["container"])
        except ValidationError:
            return value  # the field itself says what is wrong
        return {**value, "address": server.url}

    @field_validator("address")
    @classmethod
    def _check_address(cls, address: str) -> str:
        if not _ADDRESS.fullmatch(address):
            msg = "an address is http(s)://host:port, without a path and without credentials"
            raise ValueError(msg)
        return address

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in (user.name for user in self.all_users):
            if ":" in name:
                msg = f"user {name!r}: a name cannot hold a colon"
                raise ValueError(msg)
        _once("organisation", self.all_organisations)
        _once("bucket", [f"{self.home(it)}/{it.name}" for it in self.buckets])
        _once("user", [user.name for user in self.all_users])
        _once("token", [f"{self.home(it)}/{it.description}" for it in self.tokens])
        _once("file", [it.file for it in self.tokens if it.file])
        _once("secret", [it.secret.secret for it in self.tokens if it.secret])
        owned: list[Bucket | Token] = [*self.buckets, *self.tokens]
        for it in owned:
            _known("organisation", self.home(it), self.all_organisations)
        _known("bucket", self.setup.bucket, self.buckets_of(self.setup.organisation))
        for token in self.tokens:
            for bucket in (*token.read, *token.write):
                _known("bucket", bucket, self.buckets_of(self.home(token)))
        return self

    @property
    def all_organisations(self) -> tuple[str, ...]:
        """That of the setup, and the others."""
        return (self.setup.organisation, *self.organisations)

    @property
    def all_users(self) -> tuple[User, ...]:
        """That of the setup, and the others."""
        return (User(name=self.setup.user, password=self.setup.password), *self.users)

    def home(self, it: Bucket | Token) -> str:
        """Return the name of the organisation that a bucket or a token belongs to.

        Args:
            it: from these settings.
        """
        return it.organisation or self.setup.organisation

    def buckets_of(self, organisation: str) -> list[str]:
        """Return the names of an organisation's buckets.

        Args:
            organisation: its name.
        """
        return [it.name for it in self.buckets if self.home(it) == organisation]


def _once(kind: str, names: Iterable[str]) -> None:
    twice = sorted(name for name, number in Counter(names).items() if number > 1)
    if twice:
        msg = f"{kind} {twice[0]!r} stands here more than once"
        raise ValueError(msg)


def _known(kind: str, name: str, known: Iterable[str]) -> None:
    known = list(known)
    if name not in known:
        guess = near_miss(name, known)
        hint = f", did you mean {guess!r}?" if guess else f"; there are: {', '.join(known)}"
        msg = f"{kind} {name!r} is not in these settings{hint}"
        raise ValueError(msg)
