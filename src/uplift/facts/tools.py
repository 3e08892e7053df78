"""Read which of the wanted tools a host has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from uplift.spec.tools import LINKS, ROOT, HostState

# $1 the packages, $2 the tools. Every line: a word, a name, a value.
# A tool works when its own Python knows its version and all links that uv noted are there.
_SCRIPT = r"""
export LC_ALL=C
export PATH="LINKS:$PATH:/usr/sbin:/sbin"
has() { command -v "$1" >/dev/null 2>&1 && echo yes || echo no; }
echo "host - $(id -u)"
echo "apt - $(has apt-get)"
echo "uv - $(has uv)"
for name in $1; do
  echo "package $name $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)"
done
ask='import importlib.metadata as m, sys; print(m.version(sys.argv[1]))'
for name in $2; do
  folder=ROOT/$name
  [ -d "$folder" ] || continue
  version=$("$folder/bin/python" -I -c "$ask" "$name" 2>/dev/null)
  links=$(sed -n 's/.*install-path = "\([^"]*\)".*/\1/p' "$folder/uv-receipt.toml" 2>/dev/null)
  [ -n "$links" ] || version=
  for link in $links; do [ -x "$link" ] || version=; done
  echo "tool $name $version"
done
exit 0
""".replace("ROOT", ROOT).replace("LINKS", LINKS)


class Installed(FactBase[HostState | None]):
    """Return which tools a host has as :class:`uplift.spec.tools.HostState`.

    None when it cannot be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, packages: Sequence[str], tools: Sequence[str]) -> StringCommand:
        """Return the one script that reads everything.

        + packages: of the distribution
        + tools: of uv, without their versions
        """
        names = (QuoteString(" ".join(packages)), QuoteString(" ".join(tools)))
        return StringCommand("sh", "-c", QuoteString(_SCRIPT.strip()), "uplift", *names)

    def process(self, output: Iterable[str]) -> HostState:
        """Turn the script's lines into a state."""
        rows = [(*line.split(), "")[:3] for line in output]
        one = {word: value for word, _, value in rows}
        return HostState(
            uid=int(one["host"]),
            apt=one["apt"] == "yes",
            uv=one["uv"] == "yes",
            packages=frozenset(n for word, n, it in rows if (word, it) == ("package", "installed")),
            tools={name: version for word, name, version in rows if word == "tool"},
        )
