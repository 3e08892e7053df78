"""Packages as clients get them: each file read to its end on the host, whatever an index says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from uplift.facts.packages import READ, Found, arguments, questions_input, understood
from uplift.operations.http import answers
from uplift.operations.packages_work import Work
from uplift.secrets import Secret
from uplift.spec.http import Response
from uplift.spec.packages import Artifact, Repository, Sum
from uplift.spec.packages.pages import links
from uplift.spec.packages.served import Asked, file_config, origin, raw_path

if TYPE_CHECKING:
    from testinfra.host import Host


def contents(host: Host, work: Work) -> dict[Artifact, str]:
    """Return the sha256 of each file as the host gets it, or in words why there is none.

    Args:
        host: testinfra's.
        work: what shall be served.
    """
    pages = _asked(host, work, ())
    got = answers(pages.sent, [one.request for one in work.asked.pages])
    assert got.trouble is None, f"{work.address}: {got}"
    paths = _paths(work, dict(zip(work.asked.pages, got.responses, strict=True)))
    there = [one for one in work.artifacts if one in paths]
    sums = _asked(host, work, [_config(work, one, paths[one]) for one in there]).sums
    said = {one: _said(found) for one, found in zip(there, sums, strict=True)}
    return {one: said.get(one, "not in the index") for one in work.artifacts}


def _asked(host: Host, work: Work, sums: Iterable[str]) -> Found:
    text = Secret("".join(questions_input(tuple(sums), work.asked.config)))
    done = host.run("sh -c %s uplift %s %s", READ, *arguments(work.address), stdin=text)
    assert done.rc == 0, done.stderr
    return understood(done.stdout.splitlines())


def _config(work: Work, artifact: Artifact, path: str) -> str:
    repository = work.settings.repositories[artifact.repository]
    return file_config(repository, work.passwords[artifact.repository], path)


def _said(found: Sum) -> str:
    good = found.status == 200 and found.code == 0
    return found.sha256 if good else f"status {found.status}, curl's code {found.code}"


def _paths(work: Work, pages: Mapping[Asked, Response]) -> dict[Artifact, str]:
    """Return where each file is on its server, as the index says it."""
    found = {}
    for artifact in work.artifacts:
        repository = work.settings.repositories[artifact.repository]
        if repository.format == "raw":
            found[artifact] = raw_path(repository, artifact)
            continue
        for page, response in pages.items():
            if (page.repository, page.project) == (artifact.repository, artifact.project):
                address = _address(repository, artifact, page, response)
                if address:
                    found[artifact] = address
    return found


def _address(
    repository: Repository, artifact: Artifact, page: Asked, response: Response
) -> str | None:
    if response.status != 200:
        return None
    if repository.format == "npm":
        version = response.json()["versions"].get(artifact.version)
        address = str(version["dist"]["tarball"]) if version else None
    else:
        listed = {file: url for file, url, _ in links(response.body.decode(errors="replace"))}
        address = listed.get(artifact.file)
    if address is None:
        return None
    whole = urljoin(origin(repository.url) + page.request.path, address)
    # The password is for the repository's own server.
    assert origin(whole) == origin(repository.url), f"{artifact} is served from {origin(whole)}"
    return urlsplit(whole).path
