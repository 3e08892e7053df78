"""Which Debian mirrors the controller's own apt uses; no mirror is written down here."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

SUITES = frozenset({"bullseye", "bookworm", "trixie", "forky", "sid"}) | {
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
}
DEBIAN_KEYRING = "debian-archive-keyring"


@dataclass(frozen=True)
class Mirrors:
    """Debian mirrors by what they serve; None where the controller names none.

    Args:
        main: serves the releases.
        security: serves the security updates.
    """

    main: str | None = None
    security: str | None = None

    def sources(self, suite: str) -> str | None:
        """Write the ``sources.list`` of a release, or None to keep what is there."""
        if self.main is None:
            return None
        lines = [f"deb {self.main} {suite} main", f"deb {self.main} {suite}-updates main"]
        if self.security:
            lines.append(f"deb {self.security} {suite}-security main")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Source:
    uri: str
    suite: str
    signed_by: str


def configured(etc: Path = Path("/etc/apt")) -> Mirrors:
    """Read the mirrors from apt's configuration.

    Args:
        etc: folder of apt's configuration.
    """
    found = [source for source in _sources(etc) if _is_usable(source)]
    security = [source for source in found if source.suite.endswith("-security")]
    plain = [source for source in found if source.suite in SUITES]
    return Mirrors(
        main=_first(sorted(plain, key=lambda source: not _has_updates(source, found))),
        security=_first(security),
    )


def _first(sources: list[_Source]) -> str | None:
    return sources[0].uri if sources else None


def _has_updates(source: _Source, among: list[_Source]) -> bool:
    """Tell Debian's own archive from others that use its suite names."""
    return any(
        other.uri == source.uri and other.suite == f"{source.suite}-updates" for other in among
    )


def _is_usable(source: _Source) -> bool:
    parts = urlsplit(source.uri)
    return (
        parts.scheme in {"http", "https"}
        and parts.username is None  # a password would stay in the images
        and (not source.signed_by or DEBIAN_KEYRING in source.signed_by)
        and source.suite.partition("-")[0] in SUITES
    )


def _sources(etc: Path) -> Iterator[_Source]:
    folder = etc / "sources.list.d"
    for path in [etc / "sources.list", *sorted(folder.glob("*.list"))]:
        if path.is_file():
            yield from _parse_list(path.read_text(errors="replace"))
    for path in sorted(folder.glob("*.sources")):
        yield from _parse_deb822(path.read_text(errors="replace"))


def _parse_list(text: str) -> Iterator[_Source]:
    for line in text.splitlines():
        entry = line.partition("#")[0].strip()
        if not entry.startswith("deb "):
            continue
        options, rest = "", entry[4:].strip()
        if rest.startswith("["):
            options, _, rest = rest[1:].partition("]")
        words = rest.split()
        if len(words) >= 3 and "main" in words[2:]:
            yield _Source(words[0].rstrip("/"), words[1], _option(options, "signed-by"))


def _option(options: str, key: str) -> str:
    pairs = (word.partition("=") for word in shlex.split(options))
    return next((value for name, _, value in pairs if name.lower() == key), "")


def _parse_deb822(text: str) -> Iterator[_Source]:
    for stanza in _stanzas(text):
        enabled = stanza.get("enabled", "yes").lower() not in {"no", "false", "0"}
        if not enabled or "deb" not in stanza.get("types", "").split():
            continue
        if "main" not in stanza.get("components", "").split():
            continue
        for uri in stanza.get("uris", "").split():
            for suite in stanza.get("suites", "").split():
                yield _Source(uri.rstrip("/"), suite, stanza.get("signed-by", ""))


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    stanza: dict[str, str] = {}
    key = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, key = {}, ""
        elif line[0].isspace():
            stanza[key] = f"{stanza.get(key, '')} {line.strip()}"
        else:
            name, _, value = line.partition(":")
            key = name.strip().lower()
            stanza[key] = value.strip()
