"""The block ``clients``: which client files hosts and their users have, and what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from uplift.spec.base import Block
from uplift.spec.clients.fields import (
    AbsolutePath,
    Login,
    Machine,
    Registry,
    Scope,
    SecretField,
    TrustedHost,
    Url,
    UserName,
    Word,
)

_ONE_INDEX = (
    "pip has no order of indexes: with extra_index_url the highest version of a name wins, also "
    "from a public index; use one index_url that joins the others (a Nexus group)"
)


class NetrcEntry(Block):
    """One login in a ``.netrc``: pip, uv, Poetry and curl send it to that host, on any port."""

    machine: Machine
    login: Login
    password: SecretField


class NpmAuth(Block):
    """What npm sends to one registry address: a token, or a user name with its password."""

    url: Url
    token: SecretField | None = None
    username: Login | None = None
    password: SecretField | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        pair = (self.username, self.password)
        if (self.token is None) == (None in pair) or (self.token and any(pair)):
            msg = "needs either token, or username and password"
            raise ValueError(msg)
        return self


class Npmrc(Block):
    """Lines of a user's ``.npmrc``."""

    registry: Url | None = None
    scopes: dict[Scope, Url] = Field(default_factory=dict)
    auth: list[NpmAuth] = Field(default_factory=list)
    cafile: AbsolutePath | None = None
    strict_ssl: bool | None = None
    fetch_retries: int | None = Field(default=None, ge=0)
    fetch_timeout: int | None = Field(default=None, gt=0)
    omit_lockfile_registry_resolved: bool | None = None

    @model_validator(mode="after")
    def _unique(self) -> Self:
        _no_twins("auth for", (npm_scope(auth.url) for auth in self.auth))
        return self


class Pip(Block):
    """Options of a ``pip.conf``, under ``[global]``."""

    index_url: Url | None = None
    trusted_host: list[TrustedHost] = Field(default_factory=list)
    cert: AbsolutePath | None = None
    timeout: int | None = Field(default=None, gt=0)
    retries: int | None = Field(default=None, ge=0)
    disable_pip_version_check: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_index(cls, data: Any) -> Any:
        if isinstance(data, dict) and "extra_index_url" in data:
            raise ValueError(_ONE_INDEX)
        return data

    @model_validator(mode="after")
    def _plain_http(self) -> Self:
        parts = urlsplit(self.index_url or "")
        trusted = {*self.trusted_host, "localhost", "127.0.0.1"}
        if parts.scheme == "http" and not trusted & {parts.hostname, parts.netloc}:
            msg = (
                f"index_url is plain http, which pip ignores for other hosts than this one: use "
                f"https, or say trusted_host = [{parts.netloc!r}]"
            )
            raise ValueError(msg)
        return self


class PypircServer(Block):
    """One place to publish to, as twine names it."""

    name: Word
    repository: Url | None = None
    username: Login
    password: SecretField

    @model_validator(mode="after")
    def _address(self) -> Self:
        if self.name == "distutils":
            msg = "the name 'distutils' is the list of servers itself: choose another"
            raise ValueError(msg)
        if self.repository is None and self.name not in ("pypi", "testpypi"):
            msg = "repository is required (twine knows only pypi and testpypi by itself)"
            raise ValueError(msg)
        return self


class Pypirc(Block):
    """Servers in a user's ``.pypirc``."""

    servers: list[PypircServer] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        _no_twins("server", (server.name.lower() for server in self.servers))
        return self


class DockerAuth(Block):
    """The login to one container registry."""

    registry: Registry
    username: Login
    password: SecretField


class DockerConfig(Block):
    """Logins in a user's ``.docker/config.json``."""

    auths: list[DockerAuth] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        _no_twins("registry", (auth.registry for auth in self.auths))
        return self


class UvIndex(Block):
    """One ``[[index]]`` of ``uv.toml``; credentials come from the users' ``.netrc``."""

    name: Word
    url: Url
    default: bool = False
    explicit: bool = False
    authenticate: Literal["auto", "always", "never"] | None = None
    publish_url: Url | None = None
    format: Literal["simple", "flat"] | None = None
    ignore_error_codes: list[int] = Field(default_factory=list)


class UvToml(Block):
    """Settings of ``/etc/uv/uv.toml``, which every user of the host reads."""

    index: list[UvIndex] = Field(default_factory=list)
    system_certs: bool | None = None
    # uv's other strategies let a public package of the same name win.
    index_strategy: Literal["first-index"] | None = None
    allow_insecure_host: list[TrustedHost] = Field(default_factory=list)
    # Folders of wheels on the host, beside every index.
    find_links: list[AbsolutePath] = Field(default_factory=list)
    python_downloads: Literal["automatic", "manual", "never"] | None = None
    python_preference: Literal["only-managed", "managed", "system", "only-system"] | None = None
    python_install_mirror: Url | None = None
    link_mode: Literal["clone", "copy", "hardlink", "symlink"] | None = None
    compile_bytecode: bool | None = None
    concurrent_downloads: int | None = Field(default=None, gt=0)
    offline: bool | None = None

    @model_validator(mode="after")
    def _unique(self) -> Self:
        _no_twins("index", (index.name.lower() for index in self.index))
        if sum(index.default for index in self.index) > 1:
            msg = "only one index can have default = True"
            raise ValueError(msg)
        return self


class UserFiles(Block):
    """The client files of one user of the host."""

    user: UserName
    netrc: list[NetrcEntry] = Field(default_factory=list)
    npmrc: Npmrc | None = None
    pip: Pip | None = None
    pypirc: Pypirc | None = None
    docker: DockerConfig | None = None

    @model_validator(mode="after")
    def _one_login_a_host(self) -> Self:
        _no_twins(
            "a .netrc has one login for a host, whatever the port; with two logins for two ports "
            "of it, give one service a host name of its own. Machine",
            (entry.machine for entry in self.netrc),
        )
        return self


class Probe(Block):
    """Packages that ``uplift verify`` asks the indexes for; None asks nothing."""

    python: str | None = Field(default="iniconfig", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    npm: str | None = Field(default="is-number", pattern=r"^(@[a-z0-9._~-]+/)?[a-z0-9._~-]+$")


class Clients(Block):
    """Client files of a host and of its users."""

    users: list[UserFiles] = Field(default_factory=list)
    uv: UvToml | None = None
    pip: Pip | None = None
    probe: Probe = Field(default_factory=Probe)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        _no_twins("user", (entry.user for entry in self.users))
        return self


def npm_scope(url: str) -> str:
    """Return the prefix under which npm keeps credentials: ``//host:port/path/``.

    Args:
        url: address of a registry, with or without its final slash.
    """
    parts = urlsplit(url)
    return f"//{parts.netloc}{parts.path.rstrip('/')}/"


def _no_twins(what: str, names: Iterable[str]) -> None:
    twins = [name for name, count in Counter(names).items() if count > 1]
    if twins:
        msg = f"{what} {', '.join(map(repr, twins))} is listed more than once"
        raise ValueError(msg)
