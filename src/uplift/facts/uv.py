"""Read what a host has of uv."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from uplift.facts.look import LOOK
from uplift.spec.entry import ABSENT, Entry
from uplift.spec.uv import CURRENT, LINKS, ROOT, HostState

# Every line: a word, a tab, values. Only the root may be a link, to a larger disk.
_READ = r"""
version=$1
line host "$(id -u)" "$(uname -m)"
if [ -L ROOT ] && [ -d ROOT ]; then line root folder "$(rights ROOT)" ""; else look root ROOT; fi
look version "ROOT/$version"
for name in uv uvx; do
  look "binary $name" "ROOT/$version/$name" "$(hash "ROOT/$version/$name")"
done
look current CURRENT
LINK_LINES
for folder in ROOT/[0-9]*; do
  if [ -d "$folder" ] && [ ! -L "$folder" ]; then
    line used "$(stat -c %Y "$folder")" "${folder##*/}"
  fi
done
for path in ROOT/.[0-9]*.tmp-* LEFT_LINKS; do
  if [ -e "$path" ] || [ -L "$path" ]; then line leftover "$path"; fi
done
exit 0
"""

_SCRIPT = (
    f"{LOOK}\n{_READ.strip()}".replace(
        "LINK_LINES", "\n".join(f"look 'link {n}' {path}" for n, path in LINKS.items())
    )
    .replace("LEFT_LINKS", " ".join(f"{path}.uplift-tmp" for path in (CURRENT, *LINKS.values())))
    .replace("CURRENT", CURRENT)
    .replace("ROOT", ROOT)
)


class Installed(FactBase[HostState | None]):
    """Return what a host has of uv as :class:`uplift.spec.uv.HostState`; None when unreadable."""

    def command(self, version: str) -> StringCommand:
        """Look at everything in one command.

        Args:
            version: that is wanted: the hashes of its binaries are taken.
        """
        return StringCommand("sh", "-c", QuoteString(_SCRIPT), "uplift", QuoteString(version))

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def process(self, output: Iterable[str]) -> HostState:
        """Turn the lines of the script into a value."""
        found: dict[str, list[str]] = {}
        used: list[tuple[int, str]] = []
        leftovers: list[str] = []
        for line in output:
            word, *values = line.split("\t")
            if word == "used":
                used.append((int(values[0]), values[1]))
            elif word == "leftover":
                leftovers.append(values[0])
            else:
                found[word] = values
        uid, arch = found.pop("host")
        entries = {word: Entry(*values) for word, values in found.items()}
        return HostState(
            uid=int(uid),
            arch=arch,
            root=entries["root"],
            version=entries["version"],
            binaries={name: entries.get(f"binary {name}", ABSENT) for name in LINKS},
            current=entries["current"],
            links={name: entries.get(f"link {name}", ABSENT) for name in LINKS},
            versions=tuple(version for _, version in sorted(used, reverse=True)),
            leftovers=tuple(leftovers),
        )


# curl ends with 63 when a server ignores the range and begins to send everything: it can be had.
_REACH = r"""
export LC_ALL=C
config=$(cat)
command -v curl >/dev/null 2>&1 || { echo 'no: the host has no curl'; exit 0; }
said=$(printf '%s\n' "$config" | curl --silent --show-error --fail --location --proto =http,https \
  --netrc-optional --connect-timeout 5 --max-time 20 --range 0-0 --max-filesize 65536 \
  --output /dev/null --config - 2>&1)
case $? in
  0 | 63) echo yes ;;
  *) printf 'no: %s\n' "$said" | head -n 1 ;;
esac
""".strip()


class Reachable(FactBase[str | None]):
    """Return ``yes`` when the host itself can download an address, else ``no: …`` with the reason.

    The address comes by standard input, as curl's configuration (:func:`curl_config`): it may
    hold a token, and everybody on a host can see a command's arguments.
    """

    def command(self) -> StringCommand:
        """Ask for the first byte."""
        return StringCommand("sh", "-c", QuoteString(_REACH), "uplift")

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def process(self, output: Iterable[str]) -> str:
        """Return the line that the script prints."""
        return " ".join(output).strip()


def curl_config(url: str) -> str:
    """Return an address as a line of curl's configuration.

    Args:
        url: of a file.
    """
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    return f'url = "{quoted}"\n'
