"""Who deployed the applications that a host has, and from which inventory."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from uplift.spec.app.release import RELEASES

OWNERS = rf"""
for own in {RELEASES}/*/; do
  last=$(grep -lsx 'outcome good' "$own"*/outcome | LC_ALL=C sort | tail -n 1)
  [ -n "$last" ] || continue
  own=${{own%/}}
  echo "owner ${{own##*/}}" \
    "$(grep -E '^ "(by|inventory)": ' "${{last%outcome}}release.json" | base64 -w 0)"
done
""".strip()
"""Shell text that prints a line for each application: of its newest good record, these keys."""


@dataclass(frozen=True)
class Owner:
    """Where an application comes from.

    Args:
        app: its name.
        by: who deployed its newest good release.
        inventory: that was deployed from; empty when it is not recorded.
    """

    app: str
    by: str
    inventory: str

    def elsewhere(self, inventory: str, there: Callable[[str], bool]) -> bool:
        """Tell whether another inventory of this project has it.

        Args:
            inventory: of this run; empty when it is not known.
            there: whether the project has an inventory of this name.
        """
        return self.inventory not in ("", inventory) and there(self.inventory)


def parse(lines: Iterable[Sequence[str]]) -> dict[str, Owner]:
    """Read what the script printed: by application, without those whose record cannot be read.

    Args:
        lines: values behind each ``owner``.
    """
    found = {}
    for app, *packed in lines:
        text = base64.b64decode("".join(packed)).decode().strip()
        try:
            value = json.loads(f"{{{text.removesuffix(',')}}}")
        except ValueError:
            continue
        found[app] = Owner(app, str(value.get("by", "")), str(value.get("inventory", "")))
    return found
