"""What a secret looks like, for settings and for the gate before a push.

Patterns are extended regular expressions that ``grep -E`` and Python read alike.
"""

from __future__ import annotations

import re

TOKENS = (
    r"gh[pousr]_[A-Za-z0-9]{36}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{60}",
    r"glpat-[A-Za-z0-9_-]{20}",  # GitLab
    r"pypi-AgE[A-Za-z0-9_-]{50}",
    r"npm_[A-Za-z0-9]{36}",
    r"AKIA[0-9A-Z]{16}",  # AWS
    r"xox[abpr]-[0-9]{10}[A-Za-z0-9-]{10}",  # Slack
)
"""Tokens with a form of their own: found anywhere, also in the files of layers."""

CREDENTIALS = (
    r"[a-z]+://[^/@: ]*:[^/@ ]+@",
    r"([Pp][Aa][Ss][Ss][Ww][Oo][Rr][Dd]|[Tt][Oo][Kk][Ee][Nn]|[Ss][Ee][Cc][Rr][Ee][Tt])"
    r"[A-Za-z0-9_]*[=:][^ $][^ ]{3}",
)
"""Values beside a telling name, and logins in addresses: in history, environment and labels."""

FILES = (".netrc", ".pypirc", ".git-credentials", ".env")
"""Names of files that hold logins; none is in an image."""

_VALUE = re.compile("|".join((*TOKENS, CREDENTIALS[0])))
_NAME = re.compile(r"passw|token|secret|credential|api_?key|private_?key", re.IGNORECASE)


def value_is_secret(value: str) -> bool:
    """Return whether a text holds a token or a login.

    Args:
        value: what stands in the settings.
    """
    return _VALUE.search(value) is not None


def name_is_secret(name: str) -> bool:
    """Return whether what has this name is a secret by all appearances.

    Args:
        name: of a build argument or a label.
    """
    return _NAME.search(name) is not None
