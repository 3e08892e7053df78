"""What a server refuses, in its own words."""

from __future__ import annotations

import html
import re
from typing import Any

from uplift.spec.errors import UpliftError
from uplift.spec.http import Response

_LONGEST = 300
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


class Refused(UpliftError):
    """Report why a server is left as it is."""


def words(response: Response) -> str:
    """Return what a server said about a request that it did not do, on one line.

    Args:
        response: with an error.
    """
    try:
        text = _message(response.json())
    except ValueError:
        text = _text(response)
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"{response.status} {' '.join(shown.split())[:_LONGEST]}"


def is_page(response: Response) -> bool:
    """Is this a page for people, where the API would answer with data or with nothing?

    Args:
        response: to a request for data.
    """
    return "html" in response.content_type.lower() or response.body.lstrip()[:1] == b"<"


def _text(response: Response) -> str:
    text = response.body.decode(errors="replace").strip()
    if is_page(response):
        title = _TITLE.search(text)
        return f"a web page, {html.unescape(title[1]) if title else 'without a title'}"
    return text or "no reason given"


def _message(said: Any) -> str:
    """Return the text of an error, which Nexus writes in several ways."""
    if isinstance(said, list):
        return "; ".join(_message(item) for item in said) or "no reason given"
    if isinstance(said, dict) and "message" in said:
        message = str(said["message"]).strip('"')
        field = re.sub(r"^(FIELD|PARAMETER|HELPER BEAN) ", "", str(said.get("id", "*")))
        return message if field in ("*", "") else f"{field}: {message}"
    return str(said)
