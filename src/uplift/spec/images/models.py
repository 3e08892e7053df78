"""Which images are built, from what, by what, as it stands in the group data."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from uplift.spec.base import Block
from uplift.spec.clients.fields import Login, SecretField, Url
from uplift.spec.images.fields import (
    ImageName,
    Line,
    Package,
    Path,
    Platform,
    Python,
    Repository,
    Revision,
    Size,
    Version,
    arguments,
    each_once,
    labels_of_its_own,
    secret_ids,
)

Builder = Literal["uv", "poetry", "pip", "dockerfile"]

# What only a template can use.
_TEMPLATED = (
    *("base", "installer", "build_packages", "system_packages"),
    *("entry_point", "files", "ca_files"),
)


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
        platforms: each is built, and several are joined to one list; left out: that of the host.
        index: where packages come from.
        ca_files: certificates that the build trusts beside those of the base.
        labels: of the image.
        build_args: arguments of the builder ``dockerfile``.
        secrets: for ``RUN --mount=type=secret,id=…`` of the builder ``dockerfile``, by id.
        source_url: address of the project, for the label of that name.
        gate_allows: shell patterns of paths in the image whose content may look like a token, or
            whose name is that of a file with logins.
    """

    name: Repository
    version: Version
    builder: Builder
    source: str
    revision: Revision | None = None
    dockerfile: Path = "Dockerfile"
    python: Python = "3.13"
    base: ImageName | None = None
    installer: str | None = None
    requirements: Path = "requirements.txt"
    build_packages: tuple[Package, ...] = ()
    system_packages: tuple[Package, ...] = ()
    entry_point: tuple[Line, ...] = ()
    files: tuple[Path, ...] = ()
    platforms: Annotated[tuple[Platform, ...], AfterValidator(each_once)] = ()
    index: Index | None = None
    ca_files: tuple[str, ...] = ()
    labels: Annotated[dict[str, str], AfterValidator(labels_of_its_own)] = Field(
        default_factory=dict
    )
    build_args: Annotated[dict[str, str], AfterValidator(arguments)] = Field(default_factory=dict)
    secrets: Annotated[dict[str, SecretField], AfterValidator(secret_ids)] = Field(
        default_factory=dict
    )
    source_url: Url | None = None
    gate_allows: tuple[str, ...] = ()

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
        keep: how many of the last builds of each repository stay on the host that builds.
        time_limit: of one image, in seconds.
    """

    build: tuple[Image, ...]
    contexts: dict[ImageName, ImageName] = Field(default_factory=dict)
    templates: str = "templates"
    network: Literal["default", "host"] = "default"
    max_context: Annotated[int, Field(strict=True, ge=1, le=500)] = 50
    cache_limit: Size = "10GB"
    keep: Annotated[int, Field(strict=True, ge=1, le=1000)] = 5
    time_limit: Annotated[int, Field(strict=True, ge=60, le=7200)] = 1800

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        seen: set[tuple[str, str]] = set()
        for one in self.build:
            if (one.name, one.moving) in seen:
                msg = f"{one.name}:{one.moving} is listed twice"
                raise ValueError(msg)
            seen.add((one.name, one.moving))
        return self
