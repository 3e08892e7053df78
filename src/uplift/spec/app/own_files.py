"""How an application's own files change with a release, line by line."""

from __future__ import annotations

from collections.abc import Collection

from uplift.spec.app.models import App
from uplift.spec.app.release import Release
from uplift.spec.rollout.content import File, difference


def differences(app: App, before: Release | None, secrets: Collection[str]) -> list[str]:
    """Return what changes in the files of an application, one text a file.

    What they were is in the record of the release that serves. Every user of the host may read
    these files.

    Args:
        app: as it shall be, its files with their text.
        before: the release that serves; nothing is said without one.
        secrets: values of which none may be shown.
    """
    if before is None:
        return []
    folder = before.app.get("files_at", App.model_fields["files_at"].default)
    was = {
        f"{folder}/{name}": str(one.get("content") or "")
        for name, one in before.app.get("files", {}).items()
    }
    wanted = {f"{app.files_at}/{name}": one.content or "" for name, one in app.files.items()}
    found = []
    for path in sorted({*was, *wanted}):
        if path not in wanted:
            found.append(f"{path}: removed")
        elif was.get(path) != wanted[path]:
            old = _file(was[path]) if path in was else None
            found.append(difference(path, old, _file(wanted[path]), secrets))
    return found


def _file(text: str) -> File:
    return File(text.encode(), public=True)
