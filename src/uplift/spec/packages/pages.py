"""What pages of indexes say about their files, and what is left of a page for people."""

from __future__ import annotations

import binascii
from base64 import b64decode
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urlsplit

from uplift.spec.packages.artifact import Hashes


def simple_files(page: str) -> dict[str, Hashes]:
    """Return the files of a page of a simple index, with the hash that each link has.

    https://packaging.python.org/en/latest/specifications/simple-repository-api/

    Args:
        page: HTML.
    """
    return {file: hashes for file, _, hashes in links(page)}


def links(page: str) -> list[tuple[str, str, Hashes]]:
    """Return file, address and hash of each link of a page of a simple index.

    Args:
        page: HTML.
    """
    parser = _Links()
    parser.feed(page)
    found: list[tuple[str, str, Hashes]] = []
    for link in parser.found:
        address, _, fragment = link.partition("#")
        algorithm, _, digest = fragment.partition("=")
        file = unquote(urlsplit(address).path.rpartition("/")[2])
        found.append((file, address, {algorithm: digest.lower()} if digest else {}))
    return found


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.found.append(href)


def simple_json_files(document: Any) -> dict[str, Hashes]:
    """Return the same from the JSON form of a simple index.

    Args:
        document: parsed.
    """
    return {one["filename"]: dict(one["hashes"]) for one in document["files"]}


def npm_files(document: Any) -> dict[str, Hashes]:
    """Return the versions that npm's document of a package has; a version stands for its file.

    https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md

    Args:
        document: parsed.
    """
    found: dict[str, Hashes] = {}
    for version, manifest in document["versions"].items():
        hashes = {"sha1": manifest["dist"]["shasum"]}
        for word in str(manifest["dist"].get("integrity", "")).split():
            algorithm, _, digest = word.partition("-")
            hashes[algorithm] = _hexadecimal(digest)
        found[version] = hashes
    return found


def _hexadecimal(digest: str) -> str:
    try:
        return b64decode(digest, validate=True).hex()
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def words(text: str, longest: int = 300) -> str:
    """Return what a client or server said, on one line without the tags of a page.

    Args:
        text: perhaps with a page of HTML in it.
        longest: letters that are kept, from the end: there stands the reason.
    """
    parser = _Text()
    parser.feed(text)
    # Else what may be the beginning of an entity, as after "?a=1&b", is held back with its line.
    parser.close()
    line = " ".join(" ".join(parser.found).split())
    shown = "".join(letter if letter.isprintable() else " " for letter in line)
    return shown if len(shown) <= longest else "…" + shown[-longest:]


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("script", "style", "title")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(data)
