"""Read a host's registry: the files of the server, and when it was started."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts import job
from uplift.spec.registry.models import FILES, FOLDER
from uplift.spec.registry.state import State, parse

# Times are in nanoseconds. A file's is that of its last rename or change of mode: what the server
# read when it started before that is something else.
_SCRIPT = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
folder=@folder@
dk() { timeout 60 docker -H unix:///var/run/docker.sock "$@" 2>/dev/null; }
@settled@
if [ -S /var/run/docker.sock ] && dk version >/dev/null; then echo "docker yes"
else echo "docker no"; fi
began=$(dk inspect --type container --format \
  '{{if .State.Running}}{{.State.StartedAt}}{{end}}' registry)
[ -z "$began" ] || echo "started $(date -d "$began" +%s%N)"
if [ -d "$folder" ] && [ ! -L "$folder" ]; then
  echo "folder $(stat -c '%a %u:%g' "$folder")"
elif [ -e "$folder" ] || [ -L "$folder" ]; then echo "folder other"; fi
for name in @files@; do
  file=$folder/$name
  if [ -L "$file" ]; then echo "file $name link"
  elif [ -f "$file" ]; then
    echo "file $name file $(stat -c '%a %u:%g' "$file")" \
      "$(stat -c %.9Z "$file" | tr -d .) -$(base64 -w 0 "$file")"
  elif [ -e "$file" ]; then echo "file $name other"; fi
done
echo end
"""


class Registry(FactBase[State | None]):
    """
    Return the registry of a host as :class:`State`; what is not there is empty.

    It holds the server's key and the hashes of passwords: read it with ``read_quietly``.
    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self) -> StringCommand:
        """Return the one script that reads everything."""
        text = _SCRIPT
        for word, value in {
            "settled": job.settled("registry"),
            "folder": FOLDER,
            "files": " ".join(FILES),
        }.items():
            text = text.replace(f"@{word}@", value)
        return StringCommand("sh", "-c", QuoteString(text), "uplift")

    def process(self, output: Iterable[str]) -> State:
        """Turn the script's lines into a state."""
        try:
            return parse(output)
        except (ValueError, KeyError, IndexError):
            # Not the error's own text: it may quote a line.
            msg = "registry: what the host printed is not what its script prints"
            raise FactProcessError(msg) from None
