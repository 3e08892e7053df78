"""Images as their registry serves them: tags, labels, user, and what is in their layers."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from uplift.operations.images_script import looking
from uplift.secrets import Secret
from uplift.spec.images import Inputs
from uplift.spec.images.leftover import TOOLS

if TYPE_CHECKING:
    from testinfra.host import Host

# Its variables and functions are those of the job that builds. The image is pulled where the host
# does not have it, looked through as before a push, and removed again. Bytes are what is searched:
# as characters of a locale that takes several times as long.
_LOOK = r"""
export LC_ALL=C
tag() { found=$(digest "$2") || { echo "trouble $registry does not answer"; echo end; exit 0; }
  echo "$1 $found"; }
tag moving "$moving"
tag fixed "$fixed"
there=$found
echo "recorded $(grep -F "$fixed " "$record" 2>/dev/null | tail -n 1 | cut -d ' ' -f 2)"
[ -n "$there" ] || { echo end; exit 0; }
pinned=$name@$there
pulled=
if ! docker image inspect "$pinned" >/dev/null 2>&1; then
  pulled=yes
  docker pull -q "$pinned" >/dev/null 2>&1 || {
    echo "trouble $pinned cannot be pulled"; echo end; exit 0; }
fi
echo "inspect $(docker image inspect "$pinned" | base64 -w 0)"
container=$(docker create "$pinned" none) && {
  docker export "$container" | tar -t >"$work/files"
  docker rm "$container" >/dev/null
}
echo "files $(wc -l <"$work/files")"
grep -E -f "$work/tools" "$work/files" | head -n 100 | sed 's/^/left /'
gate "$(docker image inspect --format '{{.Id}}' "$pinned")" >"$work/said"
echo "gate $?"
sed 's/^/found /' "$work/said"
[ -z "$pulled" ] || docker image rm "$pinned" >/dev/null 2>&1
echo end
"""


@dataclass(frozen=True)
class Looked:
    """What a host found of one image.

    Args:
        moving: digest of the tag that moves, or empty.
        fixed: digest of the tag that does not, or empty.
        recorded: digest that this host pushed under it, or empty.
        image: what ``docker image inspect`` says.
        files: how many the image has.
        left: paths that may be those of installers and compilers.
        gate: exit code of the search for secrets.
        found: what it found, without the values.
        trouble: why all this is not known.
    """

    moving: str = ""
    fixed: str = ""
    recorded: str = ""
    image: Mapping[str, Any] = field(default_factory=dict, repr=False)
    files: int = 0
    left: Sequence[str] = ()
    gate: int = 2
    found: Sequence[str] = ()
    trouble: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels of the image."""
        return dict((self.image.get("Config") or {}).get("Labels") or {})


def look(host: Host, inputs: Inputs) -> Looked:
    """Read an image of a registry by one command.

    Args:
        host: testinfra's, as root.
        inputs: all that goes into the image.
    """
    tools = "".join(f"{pattern}\n" for pattern in TOOLS)
    text = Secret(looking(inputs, tools) + _LOOK)
    # The text holds what is looked for: it comes by standard input, and never stands in a file.
    said = host.run("sh -c %s", 'text=$(cat); exec </dev/null; eval "$text"', stdin=text)
    lines = [line.partition(" ") for line in said.stdout.splitlines()]
    assert lines and lines[-1][0] == "end", f"{inputs.fixed}: the search did not end: {said.stderr}"
    word = {key: value for key, _, value in lines}
    images = json.loads(base64.b64decode(word.get("inspect", "")) or b"[]")
    return Looked(
        word.get("moving", ""),
        word.get("fixed", ""),
        word.get("recorded", ""),
        images[0] if images else {},
        int(word.get("files") or 0),
        [value for key, _, value in lines if key == "left"],
        int(word.get("gate", "2")),
        [value for key, _, value in lines if key == "found"],
        word.get("trouble", ""),
    )
