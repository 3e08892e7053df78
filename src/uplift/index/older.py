"""Copy the files of one version from an older index, byte for byte."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import urljoin

import requests
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from uplift.spec.certificates import BUNDLE
from uplift.spec.errors import UpliftError
from uplift.spec.packages import Hashes, Package, named
from uplift.spec.packages.artifact import is_plain, same_project
from uplift.spec.packages.pages import links
from uplift.spec.packages.plan import best

LIMIT = 60
"""Seconds for the connection, and between two pieces of an answer."""


def copy(package: Package, target: Path) -> None:
    """Fetch every file of a version; the login comes from the controller's netrc.

    Args:
        package: with index and version.
        target: folder for the files.

    Raises:
        UpliftError: the index does not answer, has no such version, or gives other bytes than its
            own hash says.
    """
    page = f"{str(package.index).rstrip('/')}/{canonicalize_name(package.name)}/"
    answer = _get(package, page)
    found = [
        (file, urljoin(answer.url, address), hashes)
        for file, address, hashes in links(answer.text)
        if _is_wanted(file, package)
    ]
    if not found:
        msg = f"{package.name}: {page} has no file of version {package.version}"
        raise UpliftError(msg)
    for file, url, hashes in found:
        content = _get(package, url).content
        _check(package, file, content, hashes)
        (target / file).write_bytes(content)


def _is_wanted(file: str, package: Package) -> bool:
    """Tell whether it is one of the version's files; the page may name anything, "../" as well."""
    found = named(file) if is_plain(file) else None
    if found is None or not same_project(found[0], package.name):
        return False
    try:
        return Version(found[1]) == Version(str(package.version))
    except InvalidVersion:
        return False


def _get(package: Package, url: str) -> requests.Response:
    shown = url.partition("?")[0]
    try:
        answer = requests.get(url, timeout=LIMIT, verify=_authorities())
    except requests.RequestException as error:
        # Its own text may hold the address with what stands behind the '?'.
        msg = f"{package.name}: {shown}: {type(error).__name__}"
        raise UpliftError(msg) from None
    if answer.status_code == 401:
        msg = f"{package.name}: {shown}: 401: this machine's .netrc has no login that it accepts"
        raise UpliftError(msg)
    if answer.status_code != 200:
        raise UpliftError(f"{package.name}: {shown}: the index answers {answer.status_code}")
    return answer


def _authorities() -> str | bool:
    """Return what the machine trusts, not only what came with Python."""
    given = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    return given or (BUNDLE if Path(BUNDLE).is_file() else True)


def _check(package: Package, file: str, content: bytes, hashes: Hashes) -> None:
    algorithm = best(hashes)
    if algorithm is None:
        return
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != hashes[algorithm]:
        msg = (
            f"{package.name}: {file}: the index gave other bytes than its own hash says: "
            f"{algorithm} {found}, not {hashes[algorithm]}"
        )
        raise UpliftError(msg)
