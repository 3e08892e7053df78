"""The way in to a server whose password is not the wanted one yet."""

from __future__ import annotations

from collections.abc import Mapping

from uplift.spec.nexus.security import Admin
from uplift.spec.nexus.state import Resolve
from uplift.spec.secret import Secret

FILE = "/nexus-data/admin.password"


def candidates(admin: Admin, resolve: Resolve, made_up: Secret | None) -> dict[str, Secret]:
    """Return the passwords to try, by where each comes from.

    Args:
        admin: from the settings.
        resolve: gives secrets.
        made_up: what a new server wrote to its file.
    """
    found = {FILE: made_up} if made_up else {}
    if admin.first_password:
        found[str(admin.first_password)] = resolve(admin.first_password)
    return found


def nobody(admin: Admin, tried: Mapping[str, Secret], container: str) -> str:
    """Return the text of the error that no password is right.

    Args:
        admin: from the settings.
        tried: beside the wanted one, by where each comes from.
        container: whose volume was looked into.
    """
    places = [str(admin.password), *tried]
    lacking = [] if FILE in tried or not container else [f"{FILE} of the container {container}"]
    hint = f" (there is no {lacking[0]})" if lacking else ""
    return (
        f"the server refuses the password of admin: tried {', then '.join(places)}{hint}. Give the "
        "one that it has as admin.first_password: it is then changed to the wanted one"
    )
