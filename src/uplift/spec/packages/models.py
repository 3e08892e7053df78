"""Which packages go into which repository, as it stands in the group data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from uplift.spec.base import Block, near_miss
from uplift.spec.clients.fields import Login, SecretField, Url

Format = Literal["pypi", "npm", "raw"]

_NAME = re.compile(r"@?[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?")
_PATH = re.compile(r"([A-Za-z0-9_@+][A-Za-z0-9._@+-]*/)*")
_TAG = re.compile(r"[a-z][a-z0-9.-]*")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.!+_-]*")


class Repository(Block):
    """A hosted repository, and who publishes to it.

    Args:
        format: what it holds.
        url: its address, as the host that publishes sees it.
        username: a user who may publish and no more; never ``admin``.
        password: of this user.
    """

    format: Format
    url: Url
    username: Login
    password: SecretField

    @field_validator("url")
    @classmethod
    def _end_with_slash(cls, url: str) -> str:
        # Without it a Nexus answers 400 to an upload.
        return url.rstrip("/") + "/"

    @field_validator("username")
    @classmethod
    def _not_admin(cls, username: str) -> str:
        if username.lower() == "admin":
            msg = (
                "packages are never published as admin: name a user whose role allows reading and "
                "publishing in this repository alone, for example 'deployer'"
            )
            raise ValueError(msg)
        return username


class Package(Block):
    """What is published together, under a name of the settings' own.

    Exactly one of ``source``, ``files`` and ``index`` says where it comes from.

    Args:
        name: for the command line and what is told; of a source, it must be the package's name.
        repository: one of the block's repositories.
        source: folder on the controller with a ``pyproject.toml`` or a ``package.json``, which is
            built.
        targets: what is built from a Python source.
        build_constraints: file with versions for the build's own requirements, as uv's
            ``--build-constraints``.
        files: built files on the controller, folders of them, or patterns such as ``dist/*.whl``.
        index: address of a simple index from which one version is copied as it is.
        version: which version is copied.
        tag: npm's tag for the version.
        path: folder in a raw repository.
        replace: a raw file with other content is replaced; without it that is an error.
    """

    name: str
    repository: str
    source: str | None = None
    targets: Annotated[tuple[Literal["sdist", "wheel"], ...], Field(min_length=1)] = (
        "sdist",
        "wheel",
    )
    build_constraints: str | None = None
    files: tuple[str, ...] = ()
    index: Url | None = None
    version: str | None = None
    tag: str | None = None
    path: str = ""
    replace: bool = False

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            msg = "a name is letters, digits, '.', '_' and '-', for npm with its scope before it"
            raise ValueError(msg)
        return name

    @field_validator("version")
    @classmethod
    def _check_version(cls, version: str | None) -> str | None:
        if version is not None and not _VERSION.fullmatch(version):
            msg = f"must be one exact version, for example '1.4.0'; found {version!r}"
            raise ValueError(msg)
        return version

    @field_validator("tag")
    @classmethod
    def _check_tag(cls, tag: str | None) -> str | None:
        if tag is not None and not _TAG.fullmatch(tag):
            msg = f"a tag is a word such as 'latest' or 'next'; found {tag!r}"
            raise ValueError(msg)
        return tag

    @field_validator("path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        whole = path.strip("/") + "/" if path.strip("/") else ""
        if not _PATH.fullmatch(whole):
            msg = f"a path is folders parted by '/', without '..' and blanks; found {path!r}"
            raise ValueError(msg)
        return whole

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [key for key in ("source", "files", "index") if getattr(self, key)]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            msg = f"name exactly one of 'source', 'files' and 'index'; found {found}"
            raise ValueError(msg)
        if (self.index is None) != (self.version is None):
            msg = "'index' and 'version' go together: one exact version is copied from an index"
            raise ValueError(msg)
        return self


# What a format cannot do, with the reason.
_ONLY = {
    "source": (("pypi", "npm"), "raw files are not built: name them under 'files'"),
    "index": (("pypi",), "only Python packages are copied from an index"),
    "tag": (("npm",), "only npm has tags"),
    "path": (("raw",), "only a raw repository has folders"),
    "replace": (("raw",), "a published version of a package is never replaced: raise the version"),
    "build_constraints": (("pypi",), "only Python packages are built with it"),
}


class Packages(Block):
    """What is published, and where.

    Args:
        repositories: by their names.
        publish: in this order; a package stands after those that it needs.
        max_size: the largest file that is sent, in MB.
    """

    repositories: dict[str, Repository]
    publish: tuple[Package, ...] = ()
    max_size: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 500

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        wrong = [text for one in self.publish for text in self._problems(one)]
        wrong += _twice(one.name for one in self.publish)
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _problems(self, package: Package) -> Iterable[str]:
        repository = self.repositories.get(package.repository)
        if repository is None:
            guess = near_miss(package.repository, self.repositories)
            hint = f", did you mean {guess!r}?" if guess else "."
            yield (
                f"{package.name}: there is no repository {package.repository!r} here{hint} "
                f"Known: {', '.join(sorted(self.repositories)) or 'none'}"
            )
            return
        for key, (formats, reason) in _ONLY.items():
            if getattr(package, key) and repository.format not in formats:
                yield f"{package.name}: {key} in the {repository.format} repository: {reason}"

    def repository(self, package: Package) -> Repository:
        """Return the repository of a package."""
        return self.repositories[package.repository]


def _twice(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    found = []
    for name in names:
        if name.lower() in seen:
            found.append(f"{name} is listed twice")
        seen.add(name.lower())
    return found
