"""Which images are built, from what, by what, as it stands in the group data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from uplift.spec.base import Block
from uplift.spec.clients.fields import Login, SecretField, Url
from uplift.spec.container.image import Reference
from uplift.spec.images.tokens import name_is_secret, value_is_secret

Builder = Literal["uv", "poetry", "pip", "dockerfile"]

# A tag is VERSION-BUILDER-HASH, at most 128 characters.
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,63}(-[A-Za-z0-9_.]+)*")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./^~-]{0,199}")
_PYTHON = re.compile(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?")
_PATH = re.compile(r"(?!/)(?!(.*/)?\.\.(/|$))[A-Za-z0-9_.@+/-]+")
_PLATFORM = re.compile(r"linux/(amd64|arm64|arm/v7|386|ppc64le|s390x|riscv64)")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIZE = re.compile(r"[1-9][0-9]*(MB|GB)")
_OURS = "io.uplift."
# What only a template can use.
_TEMPLATED = (
    *("base", "installer", "build_packages", "system_packages"),
    *("entry_point", "files", "ca_files"),
)


def _one_line(values: Mapping[str, str]) -> None:
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


class Index(Block):
    """The package index of a build; with a login, it travels as a BuildKit secret.

    Args:
        url: of the simple index, as the build sees it.
        username: who reads it.
        password: of this user.
    """

    url: Url
    username: Login | None = None
    password: SecretField | None = None

    @model_validator(mode="after")
    def _whole_login(self) -> Self:
        if (self.username is None) != (self.password is None):
            msg = "'username' and 'password' go together"
            raise ValueError(msg)
        return self

    @property
    def machine(self) -> str:
        """Return the host, as a ``.netrc`` names it."""
        return urlsplit(self.url).hostname or ""


class Image(Block):
    """One image of a Python project.

    Args:
        name: registry and repository, ``registry.example.com:5000/console``, without a tag.
        version: begins the tags.
        builder: what installs the packages; ``dockerfile``: the source's own Dockerfile.
        source: folder on the controller.
        revision: a git revision of this folder; left out: its files as they are now.
        dockerfile: of the builder ``dockerfile``, inside the source.
        python: version of Python, which gives the base ``python:VERSION-slim``.
        base: another base; it has python, with venv and useradd.
        installer: requirements file with hashes that installs the builder; left out: ours.
        requirements: of the builders ``pip`` and, without a ``uv.lock``, ``uv``.
        build_packages: Debian packages for the build alone, as ``gcc``.
        system_packages: Debian packages in the image.
        entry_point: command of the image.
        files: paths of the source that the image has beside the installed project.
        platforms: at most one; left out: that of the host.
        index: where packages come from.
        ca_files: certificates that the build trusts beside those of the base.
        labels: of the image.
        build_args: arguments of the builder ``dockerfile``.
        secrets: for ``RUN --mount=type=secret,id=…`` of the builder ``dockerfile``, by id.
        source_url: address of the project, for the label of that name.
        gate_allows: shell patterns of paths in the image whose content may look like a token.
    """

    name: str
    version: str
    builder: Builder
    source: str
    revision: str | None = None
    dockerfile: str = "Dockerfile"
    python: str = "3.13"
    base: str | None = None
    installer: str | None = None
    requirements: str = "requirements.txt"
    build_packages: tuple[str, ...] = ()
    system_packages: tuple[str, ...] = ()
    entry_point: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    index: Index | None = None
    ca_files: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    build_args: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, SecretField] = Field(default_factory=dict)
    source_url: Url | None = None
    gate_allows: tuple[str, ...] = ()

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        reference = Reference.parse(name)
        if reference.digest or reference.tag != "latest" or name.endswith(":latest"):
            msg = "is the repository alone: its tags are made from 'version' and 'builder'"
            raise ValueError(msg)
        return name

    @field_validator("version")
    @classmethod
    def _check_version(cls, version: str) -> str:
        if not _VERSION.fullmatch(version) or len(version) > 64:
            msg = f"is the beginning of a tag: letters, digits, '.', '_', '-'; found {version!r}"
            raise ValueError(msg)
        return version

    @field_validator("python")
    @classmethod
    def _check_python(cls, python: str) -> str:
        if not _PYTHON.fullmatch(python):
            msg = f"write a version as text, for example '3.13'; found {python!r}"
            raise ValueError(msg)
        return python

    @field_validator("base")
    @classmethod
    def _check_base(cls, base: str | None) -> str | None:
        if base is not None:
            Reference.parse(base)
        return base

    @field_validator("revision")
    @classmethod
    def _check_revision(cls, revision: str | None) -> str | None:
        if revision is not None and not _REVISION.fullmatch(revision):
            msg = "must be a commit, a tag or a branch of the source's repository"
            raise ValueError(msg)
        return revision

    @field_validator("build_packages", "system_packages")
    @classmethod
    def _check_packages(cls, packages: tuple[str, ...]) -> tuple[str, ...]:
        for one in packages:
            if not _PACKAGE.fullmatch(one):
                msg = f"must be Debian packages, as 'libpq5' or 'libpq5=16.2-1'; found {one!r}"
                raise ValueError(msg)
        return packages

    @field_validator("dockerfile", "requirements")
    @classmethod
    def _check_path(cls, path: str) -> str:
        if not _PATH.fullmatch(path):
            msg = f"must be a path inside the source, without '..' and blanks; found {path!r}"
            raise ValueError(msg)
        return path

    @field_validator("files")
    @classmethod
    def _check_files(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(cls._check_path(path).rstrip("/") for path in paths)

    @field_validator("entry_point")
    @classmethod
    def _check_entry_point(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if any(not word or not word.isprintable() for word in words):
            msg = "is a list of words, each one line"
            raise ValueError(msg)
        return words

    @field_validator("platforms")
    @classmethod
    def _check_platforms(cls, platforms: tuple[str, ...]) -> tuple[str, ...]:
        if len(platforms) > 1:
            msg = "one platform an image: several are not joined to one manifest list yet"
            raise ValueError(msg)
        for one in platforms:
            if not _PLATFORM.fullmatch(one):
                msg = f"must be a platform such as 'linux/amd64'; found {one!r}"
                raise ValueError(msg)
        return platforms

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for key in labels:
            if not _KEY.fullmatch(key) or key.startswith(_OURS):
                msg = f"{key!r} is no name of a label of your own ({_OURS}… are ours)"
                raise ValueError(msg)
        _one_line(labels)
        return labels

    @field_validator("build_args")
    @classmethod
    def _check_arguments(cls, arguments: dict[str, str]) -> dict[str, str]:
        for key in arguments:
            if not _ARGUMENT.fullmatch(key):
                msg = f"{key!r} is no name of an argument"
                raise ValueError(msg)
        _one_line(arguments)
        return arguments

    @field_validator("secrets")
    @classmethod
    def _check_secrets(cls, secrets: dict[str, SecretField]) -> dict[str, SecretField]:
        for key in secrets:
            if not _KEY.fullmatch(key) or key == "netrc":
                msg = f"{key!r} is no id for a secret; 'netrc' is that of the index"
                raise ValueError(msg)
        return secrets

    @model_validator(mode="after")
    def _fits_the_builder(self) -> Self:
        if self.builder == "dockerfile":
            wrong = [key for key in _TEMPLATED if getattr(self, key)]
            reason = "stands in the Dockerfile itself"
        else:
            wrong = [key for key in ("build_args", "secrets") if getattr(self, key)]
            reason = "is only for the builder 'dockerfile'"
        if wrong:
            msg = f"{' and '.join(wrong)} {reason}"
            raise ValueError(msg)
        if self.builder != "dockerfile" and not self.entry_point:
            msg = "entry_point is required: the command of the image, as a list of words"
            raise ValueError(msg)
        return self

    @property
    def title(self) -> str:
        """Return the last word of the name."""
        return self.name.rpartition("/")[2]

    @property
    def base_image(self) -> str:
        """Return what the image stands on, as a Dockerfile names it."""
        return self.base or f"python:{self.python}-slim"

    @property
    def moving(self) -> str:
        """Return the tag that follows the newest build of a version."""
        return f"{self.version}-{self.builder}"


class Images(Block):
    """What is built on a host and pushed by it.

    Args:
        build: in this order.
        contexts: what replaces a base that a Dockerfile names, as a mirror's image.
        templates: folder of the project with the Dockerfile templates.
        network: of the steps of a build; ``host``: where the host's own name service is needed.
        max_context: largest source that is sent, in MB.
        cache_limit: what the builder's cache is kept under after a build.
        time_limit: of one image, in seconds.
    """

    build: tuple[Image, ...]
    contexts: dict[str, str] = Field(default_factory=dict)
    templates: str = "templates"
    network: Literal["default", "host"] = "default"
    max_context: Annotated[int, Field(strict=True, ge=1, le=500)] = 50
    cache_limit: str = "10GB"
    time_limit: Annotated[int, Field(strict=True, ge=60, le=7200)] = 1800

    @field_validator("contexts")
    @classmethod
    def _check_contexts(cls, contexts: dict[str, str]) -> dict[str, str]:
        for base, other in contexts.items():
            Reference.parse(base)
            Reference.parse(other)
        return contexts

    @field_validator("cache_limit")
    @classmethod
    def _check_size(cls, size: str) -> str:
        if not _SIZE.fullmatch(size):
            msg = f"must be a size such as '10GB' or '500MB'; found {size!r}"
            raise ValueError(msg)
        return size

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        seen: set[tuple[str, str]] = set()
        for one in self.build:
            if (one.name, one.moving) in seen:
                msg = f"{one.name}:{one.moving} is listed twice"
                raise ValueError(msg)
            seen.add((one.name, one.moving))
        return self
