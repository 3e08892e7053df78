"""Repositories: pypi, npm, docker, raw and maven2; hosted, proxy and group."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from uplift.spec.nexus.api import Api, Line, Name
from uplift.spec.secret import SecretRef

Format = Literal["pypi", "npm", "docker", "raw", "maven2"]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?$")]
Disposition = Literal["INLINE", "ATTACHMENT"]
Minutes = Annotated[int, Field(ge=-1)]
Port = Annotated[int, Field(ge=1, le=65535)]

# Which blocks a repository may have, by type, and which it must have.
_MAY = {
    "hosted": {"cleanup", "component"},
    "proxy": {"cleanup", "proxy", "negative_cache", "http_client", "routing_rule"},
    "group": {"group"},
}
_MUST = {"hosted": set[str](), "proxy": {"proxy"}, "group": {"group"}}
_FORMATS = {
    ("docker", "hosted"): {"docker"},
    ("docker", "proxy"): {"docker", "docker_proxy"},
    ("docker", "group"): {"docker"},
    ("raw", "hosted"): {"raw"},
    ("raw", "proxy"): {"raw"},
    ("raw", "group"): {"raw"},
    ("maven2", "hosted"): {"maven"},
    ("maven2", "proxy"): {"maven"},
}


class Storage(Api):
    """Where a repository keeps its components.

    Args:
        blob_store_name: cannot be changed later.
        strict_content_type_validation: an upload must be what its name says.
        write_policy: of a hosted one: ``ALLOW_ONCE`` when left out, so that a version never
            changes; ``ALLOW``, ``DENY``.
        latest_policy: of hosted docker with ``ALLOW_ONCE``: the tag ``latest`` may move.
    """

    blob_store_name: Name = "default"
    strict_content_type_validation: bool = True
    write_policy: Literal["ALLOW", "ALLOW_ONCE", "DENY"] | None = None
    latest_policy: bool | None = None


class Cleanup(Api):
    """What is removed by and by.

    Args:
        policy_names: cleanup policies, in any order.
    """

    policy_names: tuple[Name, ...] = ()


class Component(Api):
    """What the components are.

    Args:
        proprietary_components: their names are not to be taken from elsewhere.
    """

    proprietary_components: bool


class Proxy(Api):
    """Where a proxy gets its components.

    Args:
        remote_url: of the index, without credentials.
        content_max_age: minutes until a component is asked for again; -1 is never.
        metadata_max_age: the same for lists of packages.
    """

    remote_url: Url
    content_max_age: Minutes = 1440
    metadata_max_age: Minutes = 1440


class NegativeCache(Api):
    """How long a proxy remembers that something is not there.

    Args:
        enabled: remembers at all.
        time_to_live: minutes; -1 is for ever.
    """

    enabled: bool = True
    time_to_live: Minutes = 1440


class Connection(Api):
    """How a proxy speaks to its remote; the server's own settings for what is left out.

    Args:
        retries: after a failure.
        timeout: seconds.
        user_agent_suffix: added to what the server calls itself.
        enable_circular_redirects: follow redirects that come back.
        enable_cookies: keep cookies.
        use_trust_store: trust the certificates that were given to Nexus itself.
    """

    retries: int | None = Field(default=None, ge=0, le=10)
    timeout: int | None = Field(default=None, ge=1, le=3600)
    user_agent_suffix: Line | None = None
    enable_circular_redirects: bool | None = None
    enable_cookies: bool | None = None
    use_trust_store: bool | None = None


class Authentication(Api):
    """How a proxy signs in at its remote.

    The server never shows the secret again: that it is the wanted one is known from a keyed
    fingerprint of what was sent last, kept on the host.

    Args:
        type: ``username``, ``ntlm``, or ``bearerToken`` (from Nexus 3.76).
        username: of the first two.
        password: of the first two.
        ntlm_host: of ``ntlm``.
        ntlm_domain: of ``ntlm``.
        bearer_token: of ``bearerToken``.
    """

    type: Literal["username", "ntlm", "bearerToken"] = "username"
    username: Line | None = None
    password: SecretRef | None = None
    ntlm_host: Line | None = None
    ntlm_domain: Line | None = None
    bearer_token: SecretRef | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        token = self.type == "bearerToken"
        must = {"bearer_token"} if token else {"username", "password"}
        never = {"username", "password", "ntlm_host", "ntlm_domain"} if token else {"bearer_token"}
        for name in sorted(must):
            if getattr(self, name) is None:
                msg = f"{name} is required for type {self.type!r}"
                raise ValueError(msg)
        for name in sorted(never):
            if getattr(self, name) is not None:
                msg = f"{name} does not go with type {self.type!r}"
                raise ValueError(msg)
        return self


class HttpClient(Api):
    """What stands between a proxy and its remote.

    Args:
        blocked: the remote is not asked.
        auto_block: nor while it does not answer.
        connection: the server's own settings when left out.
        authentication: none when None; as it is when left out.
    """

    blocked: bool = False
    auto_block: bool = True
    connection: Connection | None = None
    authentication: Authentication | None = None


class Group(Api):
    """What a group shows as one.

    Args:
        member_names: of the same format; the first that has a package answers.
    """

    member_names: tuple[Name, ...] = Field(min_length=1)


class Docker(Api):
    """How Docker reaches a repository.

    Args:
        v1_enabled: also by Docker's first API.
        force_basic_auth: no anonymous pull; without it the realm DockerToken is needed.
        http_port: a port of the container of its own.
        https_port: the same with TLS.
        subdomain: Pro alone.
        path_enabled: below the server's own address (from Nexus 3.83).
    """

    v1_enabled: bool = False
    force_basic_auth: bool = True
    http_port: Port | None = None
    https_port: Port | None = None
    subdomain: Line | None = None
    path_enabled: bool | None = None


class DockerProxy(Api):
    """Where a proxy for docker looks images up.

    Args:
        index_type: ``REGISTRY`` is the remote itself.
        index_url: for ``CUSTOM``.
    """

    index_type: Literal["HUB", "REGISTRY", "CUSTOM"] = "REGISTRY"
    index_url: Url | None = None


class Maven(Api):
    """What a repository for Maven takes.

    Args:
        version_policy: which versions.
        layout_policy: must paths be Maven's.
        content_disposition: how a browser shows files.
    """

    version_policy: Literal["RELEASE", "SNAPSHOT", "MIXED"] = "RELEASE"
    layout_policy: Literal["STRICT", "PERMISSIVE"] = "STRICT"
    content_disposition: Disposition | None = None


class Raw(Api):
    """How files are served.

    Args:
        content_disposition: as something to show or to save.
    """

    content_disposition: Disposition


class Repository(Api):
    """A repository.

    Args:
        format: cannot be changed later.
        type: cannot be changed later.
        name: unique, whatever its letter case; cannot be changed later.
        online: serves at all.
        storage: where components are kept.
        cleanup: hosted and proxy: policies.
        component: hosted: what its components are.
        proxy: proxy: where components come from.
        negative_cache: proxy: what is not there.
        http_client: proxy: how the remote is asked.
        routing_rule: proxy: which paths are asked for; none when None.
        group: group: what it shows.
        docker: of the format docker.
        docker_proxy: of a proxy of the format docker.
        maven: of the format maven2.
        raw: of the format raw.
    """

    format: Format = Field(exclude=True)
    type: Literal["hosted", "proxy", "group"] = Field(exclude=True)
    name: Name
    online: bool = True
    storage: Storage = Storage()
    cleanup: Cleanup | None = None
    component: Component | None = None
    proxy: Proxy | None = None
    negative_cache: NegativeCache | None = None
    http_client: HttpClient | None = None
    routing_rule: Name | None = None
    group: Group | None = None
    docker: Docker | None = None
    docker_proxy: DockerProxy | None = None
    maven: Maven | None = None
    raw: Raw | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        kind = f"{self.format} {self.type}"
        own = _FORMATS.get((self.format, self.type), set())
        may = _MAY[self.type] | own | {"format", "type", "name", "online", "storage"}
        for name in type(self).model_fields:
            if name not in may and getattr(self, name) is not None:
                msg = f"repository {self.name!r}: {name} does not go with {kind}; take it out"
                raise ValueError(msg)
            if name in _MUST[self.type] and getattr(self, name) is None:
                msg = f"repository {self.name!r}: {name} is required for {kind}: {_REMEDY[name]}"
                raise ValueError(msg)
        for name in ("write_policy", "latest_policy"):
            if self.type != "hosted" and getattr(self.storage, name) is not None:
                msg = f"repository {self.name!r}: storage.{name} goes with hosted repositories"
                raise ValueError(msg)
        if self.format != "docker" and self.storage.latest_policy is not None:
            msg = f"repository {self.name!r}: storage.latest_policy goes with docker hosted"
            raise ValueError(msg)
        return self

    def wanted(self) -> dict[str, Any]:
        """Return the fields that are wanted, with the defaults that its kind has."""
        body = super().wanted()
        if self.type == "hosted":
            body["storage"].setdefault("writePolicy", "ALLOW_ONCE")
        if self.type == "proxy":
            body.setdefault("negativeCache", NegativeCache().wanted())
            body.setdefault("httpClient", HttpClient().wanted())
        for block, model in (("docker", Docker), ("dockerProxy", DockerProxy), ("maven", Maven)):
            if block in {_camel(name) for name in _FORMATS.get((self.format, self.type), ())}:
                body.setdefault(block, model().wanted())
        return body

    @property
    def path(self) -> str:
        """The part of the API's path that says what it is."""
        return f"{'maven' if self.format == 'maven2' else self.format}/{self.type}"


def _camel(name: str) -> str:
    return "dockerProxy" if name == "docker_proxy" else name


_REMEDY = {
    "proxy": '{"remote_url": "https://…/"}',
    "group": '{"member_names": ["…"]}',
}
