"""What pyinfra's own operations would write into files, where a run only looks."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS
from pyinfra.api.command import FileUploadCommand, QuoteString, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import StateOperationHostData
from pyinfra.api.util import get_file_io

from uplift.facts.script import run_quietly
from uplift.secrets import resolved
from uplift.spec.rollout.content import LARGEST, File, difference, public

_FILES = "pyinfra.operations.files."
_READ = """
[ -e "$1" ] || { echo absent; exit 0; }
[ -f "$1" ] || exit 1
stat -Lc %a -- "$1"; head -c "$2" -- "$1" | base64 | tr -d '\\n'; echo
"""


def told(host: Host, of_host: StateOperationHostData, function: str) -> list[str]:
    """Return how files would differ after a stock operation; nothing where that is not known.

    pyinfra can show it by itself, in its log and with whatever secrets are in it.

    Args:
        host: that it would change.
        of_host: the operation there.
        function: which, as ``pyinfra.operations.files.put``.
    """
    if function in (f"{_FILES}put", f"{_FILES}template"):
        mode = _arguments(of_host.command_generator).get("mode")
        uploads = [one for one in of_host.command_generator() if isinstance(one, FileUploadCommand)]
        return [text for one in uploads for text in _upload(host, of_host, one, mode)]
    if function == f"{_FILES}line":
        return list(_line(host, of_host))
    return []


def _upload(
    host: Host, of_host: StateOperationHostData, command: FileUploadCommand, mode: Any
) -> Iterator[str]:
    good, before = _now(host, of_host, command.dest)
    if not good:
        return
    with get_file_io(command.src, "rb") as file:
        new = file.read(LARGEST + 1)
    wanted = public(mode)
    if wanted is None:
        wanted = before.public if before else True
    values = [secret.reveal() for secret in resolved()]
    yield difference(command.dest, before, File(new, public=wanted), values)


def _line(host: Host, of_host: StateOperationHostData) -> Iterator[str]:
    """Tell which line there shall be; what it takes the place of is a pattern."""
    given = _arguments(of_host.command_generator)
    wanted = str(given.get("replace") or given.get("line") or "")
    good, before = _now(host, of_host, given["path"])
    if good and given.get("present", True):
        shown = File(wanted.encode(), public=before.public if before else True)
        values = [secret.reveal() for secret in resolved()]
        text = difference(given["path"], None, shown, values)
        yield text.replace(": created", ": a line", 1)


def _now(host: Host, of_host: StateOperationHostData, path: str) -> tuple[bool, File | None]:
    """Read a file; tell whether that was possible, and give what there is."""
    own = of_host.global_arguments
    arguments = {key: value for key, value in own.items() if key in CONNECTOR_ARGUMENT_KEYS}
    words = ["sh", "-c", QuoteString(_READ), "uplift", QuoteString(path), str(LARGEST + 1)]
    good, output = run_quietly(host, StringCommand(*words), arguments)
    first, *rest = output.stdout_lines or [""]
    if not good or first == "absent":
        return good, None
    return True, File(base64.b64decode("".join(rest)), public=bool(public(first)))


def _arguments(generator: Callable[[], object]) -> Mapping[str, Any]:
    """Return what the operation was called with."""
    held = inspect.getclosurevars(generator).nonlocals
    found = inspect.signature(held["func"]).bind(*held["args"], **held["kwargs"])
    return found.arguments
