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

_LOGIN = r"[a-z]+://[^/@: ]*:[^/@ ]+@"
_TELLING = (
    r"([Pp][Aa][Ss][Ss][Ww][Oo][Rr][Dd]|[Tt][Oo][Kk][Ee][Nn]|[Ss][Ee][Cc][Rr][Ee][Tt])"
    r"[A-Za-z0-9_]*"
)
_NAMED = f"{_TELLING}[=:]"
_VALUED = r"[^ $][^ ]{3}"
_SHORTEST = 4

CREDENTIALS = (_LOGIN, f"{_NAMED}{_VALUED}")
"""Values beside a telling name, and logins in addresses: in history, environment and labels."""

_MASKS = (
    *(f"s!{token}[A-Za-z0-9_-]*!…!g" for token in TOKENS),
    f"s!{_LOGIN}!…@!g",
    f"s!({_NAMED}){_VALUED}[^ ]*!\\1…!g",
)

FILES = (".netrc", ".pypirc", ".git-credentials", ".env")
"""Names of files that hold logins; none is in an image."""

# What a Dockerfile gives a variable with a telling name: BuildKit writes it into the steps.
_GIVEN = re.compile(r"^[ \t]*(?:ARG|ENV)[ \t](.*)", re.MULTILINE | re.IGNORECASE)
_SHOWN = re.compile(
    rf"""{_TELLING}[= \t](?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<plain>[^\s]+))"""
)
_VALUE = re.compile("|".join((*TOKENS, CREDENTIALS[0])))
_NAME = re.compile(r"passw|token|secret|credential|api_?key|private_?key", re.IGNORECASE)


def masks(dockerfile: str) -> list[str]:
    """Return commands for ``sed -E`` that take what looks like a secret out of what people read.

    Args:
        dockerfile: of the build, which may give a variable a value that looks like none.
    """
    given = _GIVEN.findall(dockerfile.replace("\\\n", " "))
    values = {found[found.lastgroup or 0] for line in given for found in _SHOWN.finditer(line)}
    # A value that is part of another one would leave the rest of that.
    longest = sorted((it for it in values if len(it) >= _SHORTEST), key=lambda it: (-len(it), it))
    return [*(f"s!{_escaped(value)}!…!g" for value in longest), *_MASKS]


def _escaped(text: str) -> str:
    """Return an extended regular expression of a text, for ``sed`` with ``!`` around it."""
    own = {"!": r"\!", "^": r"\^", "\\": r"\\"}
    return "".join(
        own.get(one, f"[{one}]") if one.isascii() and not one.isalnum() else one for one in text
    )


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
