"""What an image says and holds that it should not, from what a host read of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from uplift.spec.images.inputs import Inputs

_INSTALLERS = ("pip[0-9.]*", "uvx?", "poetry", "pipx", "pdm", "conda", "easy_install")
_COMPILERS = (
    *(
        "cc",
        "c[+][+]",
        "cpp",
        "([a-z0-9_]+-)*(gcc|g[+][+])(-[0-9.]+)?",
        "clang([+][+])?(-[0-9.]+)?",
    ),
    *("rustc", "cargo", "go", "make", "ld", "as"),
)

TOOLS = (
    rf"(^|/)s?bin/({'|'.join((*_INSTALLERS, *_COMPILERS))})$",
    r"(^|/)(site|dist)-packages/(pip|uv|poetry)/__init__[.]py$",
)
"""Paths of installers and compilers; ``grep -E`` and Python read these patterns alike."""

_ROOT = re.compile(r"(root|0)?(:.*)?")
# A later commit with the same files is the same image.
_OF_A_COMMIT = ("org.opencontainers.image.revision", "org.opencontainers.image.created")


def labels(wanted: Inputs, found: Mapping[str, str]) -> list[str]:
    """Return what labels say against the settings.

    Args:
        wanted: all that goes into the image.
        found: labels of the image.
    """
    wrong = []
    for key, value in wanted.labels.items():
        said = found.get(key, "")
        if not said:
            wrong.append(f"it has no label {key}")
        elif said != value and key not in _OF_A_COMMIT:
            wrong.append(f"label {key}: {said!r}, not {value!r}")
    return wrong


def runs_as_root(image: Mapping[str, Any]) -> bool:
    """Tell whether a container of an image is root unless somebody says otherwise.

    Args:
        image: what ``docker image inspect`` says of it.
    """
    user = str((image.get("Config") or {}).get("User") or "")
    return _ROOT.fullmatch(user) is not None


def tools(paths: Iterable[str], allowed: Sequence[str]) -> list[str]:
    """Return the installers and compilers among the files of an image.

    Args:
        paths: of files, without a leading ``/``.
        allowed: shell patterns of paths that may be there.
    """
    patterns = [re.compile(one) for one in TOOLS]
    return [
        f"/{path}"
        for path in paths
        if any(one.search(path) for one in patterns)
        and not any(fnmatchcase(path, pattern) for pattern in allowed)
    ]
