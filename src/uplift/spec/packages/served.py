"""What a server is asked, and what its answers say about the files in it.

An index page names each file with a hash; raw files are read on the host that asks, which gives
their sha256.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from uplift.spec.errors import UpliftError
from uplift.spec.http import Basic, Request, Response, render
from uplift.spec.packages.artifact import Artifact, Hashes
from uplift.spec.packages.models import Packages, Repository
from uplift.spec.packages.pages import npm_files, simple_files, simple_json_files
from uplift.spec.secret import Secret


class Refused(UpliftError):
    """Report that a server cannot be read, or does not let a user publish."""


@dataclass(frozen=True)
class Sum:
    """A file that was read to its end.

    Args:
        status: HTTP status.
        code: curl's exit code.
        sha256: of what came.
    """

    status: int
    code: int
    sha256: str


@dataclass(frozen=True)
class Asked:
    """One request about a repository.

    Args:
        repository: its name.
        project: None for the repository itself.
        request: with the whole path.
    """

    repository: str
    project: str | None
    request: Request


Served = Mapping[tuple[str, str, str], Hashes]
"""The hashes of each file that is served, by repository, project and file."""


@dataclass(frozen=True)
class Questions:
    """Everything that is asked about some artifacts.

    Args:
        pages: of repositories and of projects in them.
        raw: files whose content is read.
        config: of curl, for the pages; holds credentials.
        sums: of curl, one for each raw file; hold credentials.
    """

    pages: tuple[Asked, ...]
    raw: tuple[Artifact, ...]
    config: str = field(repr=False)
    sums: tuple[str, ...] = field(repr=False)


def questions(
    settings: Packages, artifacts: Sequence[Artifact], passwords: Mapping[str, Secret]
) -> Questions:
    """Return what has to be asked to know which artifacts are served.

    Args:
        settings: the block.
        artifacts: files.
        passwords: of each repository.
    """
    pages: list[Asked] = []
    configs = []
    for name in dict.fromkeys(one.repository for one in artifacts):
        repository = settings.repositories[name]
        asked = _pages(name, repository, artifacts)
        requests = [one.request for one in asked]
        auth = Basic(repository.username, passwords[name])
        configs.append(render(requests, origin(repository.url), auth))
        pages += asked
    raw = tuple(one for one in artifacts if settings.repositories[one.repository].format == "raw")
    sums = tuple(_raw_config(settings, one, passwords) for one in raw)
    return Questions(tuple(pages), raw, "next\n".join(configs), sums)


def _raw_config(settings: Packages, artifact: Artifact, passwords: Mapping[str, Secret]) -> str:
    repository = settings.repositories[artifact.repository]
    path = raw_path(repository, artifact)
    return file_config(repository, passwords[artifact.repository], path)


def origin(url: str) -> str:
    """Return scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _pages(name: str, repository: Repository, artifacts: Iterable[Artifact]) -> list[Asked]:
    root = urlsplit(repository.url).path
    found = [Asked(name, None, Request("GET", root))]
    if repository.format == "raw":
        return found
    projects = dict.fromkeys(one.project for one in artifacts if one.repository == name)
    for project in projects:
        if repository.format == "pypi":
            path = f"{root}simple/{quote(project)}/"
        else:
            path = root + quote(project, safe="@")
        found.append(Asked(name, project, Request("GET", path)))
    return found


def raw_path(repository: Repository, artifact: Artifact) -> str:
    """Return the path of a raw file on its server."""
    return urlsplit(repository.url).path + quote(artifact.project)


def file_config(repository: Repository, password: Secret, path: str, *, method: str = "GET") -> str:
    """Return curl's configuration for one file; it prints status and its own code on stderr.

    Args:
        repository: that has it.
        password: of the user.
        path: of the file on the server, encoded.
        method: ``GET``, or ``PUT`` for which the file's name is added where it is sent.
    """
    auth = Basic(repository.username, password)
    text = render([Request(method, path)], origin(repository.url), auth, max_time=600)
    kept = [line for line in text.splitlines() if not line.startswith(("write-out", "request"))]
    return "\n".join([*kept, r'write-out = "%{stderr}\n%{http_code} %{exitcode}\n"'])


def understand(
    settings: Packages,
    asked: Questions,
    responses: Sequence[Response],
    sums: Sequence[Sum],
) -> Served:
    """Return what is served.

    Args:
        settings: the block.
        asked: what was asked.
        responses: to the pages.
        sums: of the raw files.

    Raises:
        Refused: the answers do not say it; names the repository and what to do.
    """
    served: dict[tuple[str, str, str], Hashes] = {}
    for page, response in zip(asked.pages, responses, strict=True):
        repository = settings.repositories[page.repository]
        _check(page.repository, repository, response.status, is_root=page.project is None)
        if page.project is None or response.status == 404:
            continue
        for file, hashes in _files(repository, response, page.repository).items():
            served[page.repository, page.project, file] = hashes
    for artifact, found in zip(asked.raw, sums, strict=True):
        repository = settings.repositories[artifact.repository]
        if found.code:
            raise Refused(f"{repository.url}{artifact.project}: curl's code {found.code}")
        _check(artifact.repository, repository, found.status, is_root=False)
        if found.status != 404:
            served[artifact.repository, artifact.project, artifact.file] = {"sha256": found.sha256}
    return served


def _check(name: str, repository: Repository, status: int, *, is_root: bool) -> None:
    where = f"{name} ({repository.url})"
    if status == 401:
        msg = (
            f"{where}: 401: the server does not accept user {repository.username!r} with the "
            f"password of {repository.password}: store the one that the server has"
        )
        raise Refused(msg)
    if status == 403:
        msg = (
            f"{where}: 403: user {repository.username!r} may not read here: the role needs the "
            "privileges read, add and edit of this repository"
        )
        raise Refused(msg)
    if status == 404 and is_root:
        msg = f"{where}: 404: there is no such repository: create it, or correct its url"
        raise Refused(msg)
    if status not in (200, 404):
        raise Refused(f"{where}: the server answers {status}: see its log")


def _files(repository: Repository, response: Response, name: str) -> dict[str, Hashes]:
    try:
        if repository.format == "npm":
            return npm_files(response.json())
        if "json" in response.content_type:
            return simple_json_files(response.json())
        return simple_files(response.body.decode(errors="replace"))
    except (ValueError, TypeError, KeyError, AttributeError):
        # Not what was found: a proxy's page is no help.
        msg = f"{name} ({repository.url}): what answers there is no {repository.format} index"
        raise Refused(msg) from None
