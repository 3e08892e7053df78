"""Find and fetch wheels with the controller's own pip.

pip knows the controller's indexes, certificates, proxies and netrc, reads HTML and JSON answers,
and has the public index built in, so that no address needs to stand in this project.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from uplift.spec.errors import UpliftError

TIME_LIMIT = 600


@dataclass(frozen=True)
class Wanted:
    """A wheel to look for.

    Args:
        name: of the distribution.
        version: of the distribution.
        platforms: tags that fit, the best first.
        index: address of the simple index; the controller's own configuration when left out.
    """

    name: str
    version: str
    platforms: tuple[str, ...]
    index: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.version} for {self.platforms[0]}"


@dataclass(frozen=True)
class Found:
    """Where a wheel is.

    Args:
        url: of the file, without credentials; it may hold a token in its query, so never print it.
        sha256: as the index says; None when the index has none.
    """

    url: str
    sha256: str | None

    @property
    def for_hosts(self) -> str | None:
        """Return the address when hosts can try it too: not a folder of the controller."""
        return self.url if urlsplit(self.url).scheme in ("http", "https") else None


def find(wanted: Wanted) -> Found:
    """Ask the index where a wheel is and what hash it has.

    Args:
        wanted: the wheel.

    Raises:
        UpliftError: the index does not answer or has no such wheel.
    """
    with tempfile.TemporaryDirectory(prefix="uplift-") as folder:
        report = Path(folder) / "report.json"
        # --target is what pip asks for with --platform; with --dry-run it writes nothing there.
        where = ["--dry-run", "--ignore-installed", "--target", folder, "--report", str(report)]
        _pip(wanted, ["install", *where])
        found = json.loads(report.read_text())["install"][0]["download_info"]
    return Found(found["url"], found.get("archive_info", {}).get("hashes", {}).get("sha256"))


def fetch(wanted: Wanted, sha256: str | None) -> Path:
    """Return a wheel in the controller's cache, after a check of its hash.

    Args:
        wanted: the wheel.
        sha256: that it must have; when left out, any is taken, and the caller records it.

    Raises:
        UpliftError: the wheel cannot be had, or has another hash.
    """
    if sha256 and (cached := in_cache(sha256)):
        return cached
    _cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=_cache()) as folder:
        _pip(wanted, ["download", "--dest", folder])
        wheel = next(Path(folder).glob("*.whl"))
        found = file_sha256(wheel)
        if sha256 and found != sha256:
            message = f"{wanted}: the file has another sha256 than wanted: {found}, not {sha256}"
            raise UpliftError(message)
        (_cache() / found).mkdir(exist_ok=True)
        return wheel.replace(_cache() / found / wheel.name)


def in_cache(sha256: str) -> Path | None:
    """Return a wheel of the cache if it is there and still has its hash.

    Args:
        sha256: of the wheel.
    """
    for wheel in (_cache() / sha256).glob("*.whl"):
        if file_sha256(wheel) == sha256:
            return wheel
    return None


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "uplift" / "wheels"


def _pip(wanted: Wanted, words: Sequence[str]) -> None:
    # -P: a folder called pip in the project must not be taken for pip.
    command = [sys.executable, "-P", "-m", "pip", *words, "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    for platform in wanted.platforms:
        command += ["--platform", platform]
    command += ["--implementation", "py", "--abi", "none"]
    # Settings hold no credentials in this address, so it may stand in argv.
    command += ["--index-url", wanted.index] if wanted.index else []
    try:
        done = subprocess.run(
            [*command, f"{wanted.name}=={wanted.version}"],
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        message = f"{wanted}: the controller's index gave no answer within {TIME_LIMIT} s"
        raise UpliftError(message) from None
    if done.returncode:
        raise UpliftError(_reason(wanted, done.stderr))


def _reason(wanted: Wanted, output: str) -> str:
    """Return what a person needs of pip's output; pip hides credentials in addresses itself."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return (
            f"{wanted}: the controller's Python has no pip, which finds and fetches it: "
            f"install pip into {sys.prefix}"
        )
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    # pip lists every version that there is, hundreds of them; the last ones help with a typo.
    errors = [re.sub(r"(from versions: )(?:[^ )]+, ){6,}", r"\1…, ", error) for error in errors]
    text = f"{wanted}: the controller's index did not give it: " + "; ".join(errors or lines[-3:])
    # "none" are also the versions of an index that does not answer.
    if re.search(r"\(from versions: (?!none\))", text):
        text += f"\nChange {wanted.name}.version in group_data to one that there is."
    return text
