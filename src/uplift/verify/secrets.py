"""Look for secrets where others could read them; the search itself shows them to nobody."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from uplift.secrets import Secret, SecretRef, require

if TYPE_CHECKING:
    from testinfra.host import Host

SHORTEST = 6
"""Shorter secrets stand in unrelated files by chance and are not looked for."""

STRANGER = "nobody"

# Others' view of the files is taken by a user who is nobody's friend; the patterns stay with root,
# in a file in memory that only root can read.
_FILES = f"""set -eu
umask 077
export LC_ALL=C
patterns=$(mktemp -p /dev/shm uplift-verify.XXXXXX)
trap 'rm -f "$patterns"' EXIT
trap 'exit 1' HUP INT TERM
cat > "$patterns"
{{ runuser -u {STRANGER} -- find "$@" -xdev -type f -readable -size -4096k -print0 2>/dev/null ||
    true; }} | {{ xargs -0 -r grep -lsF -f "$patterns" -- || true; }}
echo done
"""

_PROCESSES = f"""set -eu
cd /
exec runuser -u {STRANGER} -- sh -c '
for file in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do
    if text=$(tr "\\0\\n" "  " < "$file"); then printf "%s %s\\n" "$file" "$text"; fi
done 2>/dev/null
echo done'
"""


def of(settings: BaseModel) -> dict[SecretRef, Secret]:
    """Return every secret that a host's settings refer to.

    Args:
        settings: of the host.

    Raises:
        MissingSecretError: names all that no place has.
    """
    return require(settings)


def forms(settings: BaseModel, secrets: Mapping[SecretRef, Secret]) -> dict[str, Secret]:
    """Return each secret in the forms in which it may stand in a file.

    Args:
        settings: of the host; its logins stand before passwords in some formats.
        secrets: by their reference.

    Returns:
        The forms, by a name that can be shown.
    """
    found = {}
    logins = sorted(set(_logins(settings.model_dump())))
    for ref, secret in secrets.items():
        value = secret.reveal()
        # Of a key in several lines, one that is like no other.
        line = max(value.splitlines(), key=len, default="")
        if len(line) < SHORTEST:
            continue
        found[f"{ref}"] = Secret(line)
        found[f"{ref} in base64"] = _base64(value)
        for login in logins:
            found[f"{ref} in base64 behind {login!r}"] = _base64(f"{login}:{value}")
    return found


def readable_files(host: Host, patterns: Iterable[Secret], folders: Iterable[str]) -> list[str]:
    """Return the files with one of some patterns that every user of the host can read.

    Args:
        host: testinfra's, as root.
        patterns: what to look for.
        folders: where to look; what is not there is left out.
    """
    lines = Secret("".join(f"{pattern.reveal()}\n" for pattern in patterns))
    there = [one for one in folders if host.run("test -d %s", one).rc == 0]
    words = " ".join(["%s"] * len(there))
    said = host.run(f"sh -c %s sh {words}", _FILES, *there, stdin=lines)
    return sorted(set(_whole(said.stdout, said.stderr)))


def visible_processes(host: Host) -> list[tuple[str, Secret]]:
    """Return each command line and environment that every user of the host can see, by its file.

    Args:
        host: testinfra's, as root.
    """
    said = host.run("sh -c %s", _PROCESSES)
    lines = [line.partition(" ") for line in _whole(said.stdout, said.stderr)]
    return [(file, Secret(text)) for file, _, text in lines]


def holders(texts: Iterable[tuple[str, Secret]], patterns: Mapping[str, Secret]) -> list[str]:
    """Return what holds which pattern, in words that show none.

    Args:
        texts: names and contents.
        patterns: by names that can be shown.
    """
    return sorted(
        f"{name} holds {what}"
        for name, text in texts
        for what, pattern in patterns.items()
        if pattern.reveal() in text.reveal()
    )


def _whole(stdout: str, stderr: str) -> list[str]:
    lines = stdout.splitlines()
    assert lines and lines[-1] == "done", f"the search did not end: {stderr}"
    return lines[:-1]


def _logins(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for key, held in value.items():
            if key in ("login", "username") and isinstance(held, str):
                yield held
            yield from _logins(held)
    elif isinstance(value, list | tuple):
        for held in value:
            yield from _logins(held)


def _base64(text: str) -> Secret:
    return Secret(base64.b64encode(text.encode()).decode())
