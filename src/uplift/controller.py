"""What the controller's own tools are set up with: the same public indexes then serve its lab."""

from __future__ import annotations

import configparser
import getpass
import os
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

_CA_FOLDER = "/usr/local/share/ca-certificates"
_ETC = Path("/etc")


_NOTED: list[str] = []
"""The inventory of this run of pyinfra, which keeps its name to itself."""


def person() -> str:
    """Return who runs this, as user@machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def note_inventory(name: str) -> None:
    """Remember which inventory this run of pyinfra has.

    Args:
        name: as it was called with.
    """
    _NOTED[:] = [inventory_name(name)]


def inventory() -> str:
    """Return the inventory of this run of pyinfra; empty when it is not known."""
    return "".join(_NOTED)


def inventory_name(name: str) -> str:
    """Return what an inventory is called in records: its path in the project, where it is in it.

    Args:
        name: a file, or what else pyinfra takes.
    """
    file, project = Path(name).resolve(), Path.cwd()
    return file.relative_to(project).as_posix() if file.is_relative_to(project) else name


def has_inventory(name: str) -> bool:
    """Tell whether an inventory of a record is in this project.

    Args:
        name: as ``inventory_name`` returned it.
    """
    return Path(name).is_file()


def certificates(folder: str = _CA_FOLDER) -> list[str]:
    """Return the CA certificates that were added to this machine.

    Args:
        folder: where Debian takes them from.
    """
    return sorted(str(file) for file in Path(folder).glob("*.crt"))


def python_index() -> str | None:
    """Return the Python index that pip, else uv, is set up with here; None for their default."""
    return _first(_pip_environment, _pip_files, _uv_environment, _uv_files)


def npm_registry() -> str | None:
    """Return the registry that npm is set up with here; None for its default."""
    return _first(_npm_environment, _npm_file)


def python_remote() -> str:
    """Return what a proxy repository for Python fetches from: this machine's index, else pip's own.

    A proxy is given the address above ``simple/``.
    """
    # Asking pip's command line for its default would take a second each time.
    from pip._internal.models.index import PyPI

    url = (python_index() or PyPI.simple_url).rstrip("/")
    return url.removesuffix("/simple") + "/"


@cache
def npm_remote() -> str | None:
    """Return what a proxy repository for npm fetches from: this machine's registry, else npm's own.

    None where there is neither: then the settings must name one.
    """
    found = npm_registry() or _npm_default()
    return found.rstrip("/") + "/" if found else None


def _npm_default() -> str | None:
    npm = shutil.which("npm")
    if npm is None:
        return None
    done = subprocess.run(
        [npm, "config", "get", "registry"], capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stdout.strip()
    return said if done.returncode == 0 and said.startswith("http") else None


def _first(*places: Callable[[], Iterator[str | None]]) -> str | None:
    for place in places:
        for found in place():
            if found:
                return _without_credentials(found)
    return None


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _pip_environment() -> Iterator[str | None]:
    yield os.environ.get("PIP_INDEX_URL")


def _pip_files() -> Iterator[str | None]:
    # In pip's order, the strongest first; a file that is not there is skipped by the parser.
    home = Path.home()
    for file in (
        os.environ.get("PIP_CONFIG_FILE", ""),
        _config_home() / "pip/pip.conf",
        home / ".pip/pip.conf",
        _ETC / "pip.conf",
    ):
        # Values hold '%' as they are.
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read(file)
        yield parser.get("global", "index-url", fallback=None)


def _uv_environment() -> Iterator[str | None]:
    yield os.environ.get("UV_DEFAULT_INDEX")
    yield os.environ.get("UV_INDEX_URL")


def _uv_files() -> Iterator[str | None]:
    for file in (_config_home() / "uv/uv.toml", _ETC / "uv/uv.toml"):
        if not file.is_file():
            continue
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        yield from (index["url"] for index in content.get("index", []) if index.get("default"))
        yield content.get("index-url")


def _npm_environment() -> Iterator[str | None]:
    # npm reads its variables in any case.
    for name, value in os.environ.items():
        if name.lower() == "npm_config_registry":
            yield value


def _npm_file() -> Iterator[str | None]:
    file = Path(os.environ.get("NPM_CONFIG_USERCONFIG") or Path.home() / ".npmrc")
    if not file.is_file():
        return
    for line in file.read_text(encoding="utf-8").splitlines():
        key, found, value = line.partition("=")
        if found and key.strip() == "registry":
            yield value.strip().strip("\"'")


def _config_home() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
