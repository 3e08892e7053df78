"""How HAProxy's files change, line by line."""

from __future__ import annotations

from collections.abc import Collection

from uplift.spec.haproxy.models import CONFIG, PAGE
from uplift.spec.haproxy.state import HaproxyState
from uplift.spec.rollout.content import File, difference, public


def differences(state: HaproxyState, config: str, page: str, secrets: Collection[str]) -> list[str]:
    """Return what changes in the configuration and the maintenance page, one text a file.

    Every user of the host may read both as they shall be. Of a file that is not there nothing is
    said: all of it is new.

    Args:
        state: of the host.
        config: as wanted.
        page: as wanted.
        secrets: values of which none may be shown.
    """
    return [
        difference(path, _file(before, state.modes.get(path)), _file(wanted, "644"), secrets)
        for path, before, wanted in ((CONFIG, state.config, config), (PAGE, state.page, page))
        if before is not None and before != wanted
    ]


def _file(text: str, mode: str | None) -> File:
    return File(text.encode(), public=bool(public(mode)))
