"""Read what a host keeps of a run, and what of it is as it was before."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts import job
from uplift.spec.container.models import SECRETS
from uplift.spec.container.state import STATE
from uplift.spec.kept import RUNS, Kept, parse

LOOK = r"""
# The state of a file, here: its folder's owner may put anything in its place at any moment.
look() {
  if [ -L "./$1" ]; then echo link
  elif [ ! -e "./$1" ]; then echo absent
  elif [ ! -f "./$1" ]; then echo other
  else
    sum=$(dd if="./$1" iflag=nofollow,nonblock bs=64k 2>/dev/null | sha256sum | cut -c 1-64)
    echo "$sum:$(stat -c %a:%u:%g "./$1")"
  fi
}
# Go into the folder of a path, by no link: whoever owns one on the way could lead root astray.
enter() {
  folder=${1%/*}; folder=${folder:-/}; base=${1##*/}
  cd -P -- "$folder" 2>/dev/null && [ "$(pwd -P)" = "$folder" ]
}
state() (
  if enter "$1"; then look "$base"
  elif [ -e "$folder" ]; then echo link
  else echo absent
  fi
)
"""

# $1 the run. What is packed stands behind a dash, so that nothing is a word as well.
_SCRIPT = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
umask 077
dk() { timeout 60 docker -H unix:///var/run/docker.sock "$@" 2>/dev/null; }
pack() { printf -; base64 -w 0; }
@look@
root=@runs@/$1
[ -d "$root" ] || { echo end; exit 0; }
for one in "$root"/files/*/; do
  one=${one%/}
  [ -s "$one/before" ] || continue
  path=$(cat "$one/path")
  after=$(cat "$one/after" 2>/dev/null) || after=
  between=no; [ ! -e "$one/between" ] || between=yes
  echo "file ${one##*/} $(pack <"$one/path") $(cat "$one/before") ${after:-none}" \
    "$(state "$path") $between"
  [ -e "$root/followed" ] || followed=no
done
echo "followed ${followed-yes}"
if [ -d "$root/containers" ]; then
@settled@
  echo "busy $busy"
  if dk version >/dev/null; then echo "docker yes"; else echo "docker no"; fi
  for one in "$root"/containers/*/; do
    one=${one%/} name=${one%/}; name=${name##*/}
    [ -e "$one/record" ] || [ -e "$one/stays" ] || continue
    same=yes
    # One that a container without secrets has is empty.
    [ -z "$(ls -A "$one/secrets" "@secrets@/$name" 2>/dev/null | grep -v '^/')" ] ||
      diff -rq "$one/secrets" "@secrets@/$name" >/dev/null 2>&1 || same=no
    echo "container $name $same $(tail -n 1 "@state@/$name/journal" 2>/dev/null | pack)" \
      "$(cat "$one/stays" 2>/dev/null | pack) $(cat "$one/record" 2>/dev/null | pack)" \
      "$(dk inspect --type container "$name" | pack)"
  done
fi
echo end
"""

READ = (
    _SCRIPT.replace("@look@", LOOK)
    .replace("@runs@", RUNS)
    .replace("@secrets@", SECRETS)
    .replace("@state@", STATE)
    .replace("@settled@", job.settled("container"))
)
"""Reads what a host keeps of the run ``$1``, for :func:`uplift.spec.kept.parse`."""


class KeptOf(FactBase[Kept | None]):
    """
    Return what a host keeps of a run, as :class:`Kept`.

    Read it with ``read_quietly``: what ``docker inspect`` says may hold secrets.
    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self, run: str) -> StringCommand:
        """Return the one script that reads everything.

        + run: its id
        """
        return StringCommand("sh", "-c", QuoteString(READ), "uplift", QuoteString(run))

    def process(self, output: Iterable[str]) -> Kept:
        """Turn the script's lines into a value."""
        try:
            return parse(output)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise FactProcessError(f"kept: {error}") from error
