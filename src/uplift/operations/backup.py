"""Back subjects up on a schedule and on request, and restore them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Generator

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State as Run
from pyinfra.context import host

from uplift.facts.backup import Backups as Found
from uplift.facts.script import HiddenInput, read_quietly, run_quietly
from uplift.operations import backup_files, job, script
from uplift.operations.backup_script import TIME_LIMIT
from uplift.secrets import fact_salt, require
from uplift.spec.backup.state import CONFIGURATION, KEY, plan, program, refusal
from uplift.spec.backup.subjects import Backups
from uplift.spec.base import near_miss
from uplift.spec.errors import UpliftError

NAME = re.compile(r"latest|[0-9]{8}T[0-9]{6}Z")


@operation()
def scheduled(settings: Backups) -> Generator[PyinfraCommand, None, None]:
    """Keep the backups' programs and timers as wanted.

    + settings: by subject

    One command reads the files, the timers and whether systemd understands the schedules. A timer
    that somebody disabled, stopped or edited is put right. The schedule of a subject that is taken
    out of the settings is removed; its backups stay.

    **Example:**

    .. code:: python

        backup.scheduled(name="Backup schedules", settings=for_host(host).backups)
    """
    wanted = settings.wanted
    try:
        values = require(settings)
    except UpliftError as error:
        yield script.refuse(f"backup: {error}", code=int(error.exit_code))
        return
    salt = fact_salt()
    files = {name: backup_files.files(name, it, values, salt) for name, it in wanted.items()}
    asked = {
        name: (it.schedule, it.ssh is not None, [file.path for file in files[name]])
        for name, it in wanted.items()
    }
    state = read_quietly(host, Found, HiddenInput(salt), subjects=asked)
    if state is None:
        return
    if reason := refusal(wanted, state):
        yield script.refuse(reason)
        return
    todo = plan(wanted, files, state)
    if not todo.words:
        host.noop(f"{len(wanted)} backup schedules are as they should be")
        return
    for line in todo.words:
        script.announce(f"backup: {line}")
    yield script.run(backup_files.apply(todo), stdin=backup_files.payload(todo.files), timeout=120)
    for line in todo.words:
        script.changed(f"backup: {line}")
    for name in todo.keys:
        yield FunctionCommand(_say, (_show_key(name), 60), {})


@operation(is_idempotent=False)
def taken(settings: Backups, subject: str) -> Generator[PyinfraCommand, None, None]:
    """Take a backup now, as the timer would, and list the backups that there are.

    + settings: by subject; the schedule is in place
    + subject: whose data

    It runs on when the connection drops. One that the timer has started is waited for.

    **Example:**

    .. code:: python

        backup.taken(name="Backup now", settings=for_host(host).backups, subject="influxdb")
    """
    if reason := _unknown(settings, subject):
        yield script.refuse(reason, code=64)
        return
    script.announce(f"backup: {subject} would be backed up")
    yield FunctionCommand(_say, (script.run(_TAKE, subject), TIME_LIMIT + 300), {})


@operation(is_idempotent=False)
def restored(
    settings: Backups, subject: str | None, backup: str | None = None, replace: bool = False
) -> Generator[PyinfraCommand, None, None]:
    """Restore a subject's data from a backup.

    + settings: by subject; the schedule is in place
    + subject: whose data
    + backup: its name, or ``latest``
    + replace: must be True when there is data that the backup replaces

    The backup's checksums are tested and it is read back before anything stops. What is there is
    moved aside; when the restored server does not serve what the backup holds, it comes back. It is
    a job that runs on when the connection drops; one that was killed is taken back by the next.

    **Example:**

    .. code:: python

        backup.restored(
            name="Restore", settings=settings, subject="influxdb", backup="latest", replace=True
        )
    """
    if reason := _unknown(settings, subject) or _unnamed(backup):
        yield script.refuse(reason, code=64)
        return
    script.announce(f"backup: {subject} would be restored from {backup}")
    words = f"exec {program(str(subject))} restore {backup}{' replace' if replace else ''}"
    id = job.identity("backup", words, secrets.token_bytes(8))
    yield FunctionCommand(_say, (job.start(id, words, limit=TIME_LIMIT), TIME_LIMIT + 300), {})


def _unknown(settings: Backups, subject: str | None) -> str | None:
    if subject is None:
        return f"backup: say of what, as --data subject={next(iter(settings.wanted), 'influxdb')}"
    if subject in settings.wanted:
        return None
    guess = near_miss(subject, settings.wanted)
    there = ", ".join(settings.wanted) or "none"
    hint = f"did you mean {guess!r}?" if guess else f"There are: {there}"
    return f"backup: the settings have no backups of {subject!r} here. {hint}"


def _unnamed(backup: str | None) -> str | None:
    if backup is None:
        return "backup: say which, as --data backup=latest"
    if isinstance(backup, str) and NAME.fullmatch(backup):
        return None
    return f"backup: a backup's name is 'latest' or as 20260131T031500Z; found {backup!r}"


def _say(state: Run, host: Host, command: StringCommand, limit: int) -> bool:
    """Run a command and show what it says, also when all is well."""
    arguments = {**command.connector_arguments, "_timeout": limit}
    good, output = run_quietly(host, command, arguments)
    for line in output.output_lines:
        host.log(line, log_func=logger.info if good else logger.error)
    return good


def _show_key(name: str) -> StringCommand:
    """Return a command that says which key the target has to let in."""
    return script.run(
        'echo "backup: add this line to ~/.ssh/authorized_keys of the target:"; cat "$1"',
        f"{CONFIGURATION}/{name}/{KEY}.pub",
    )


# What the unit says is told, whoever started it. A unit that runs already is waited for.
_TAKE = r"""
unit=uplift-backup-$1.service
systemctl start "$unit" </dev/null; rc=$?
id=$(systemctl show -p InvocationID --value "$unit")
journalctl --sync >/dev/null 2>&1
journalctl -q -o cat --no-pager -u "$unit" "_SYSTEMD_INVOCATION_ID=$id" -t "backup-$1" 2>&1
[ "$rc" = 0 ] || exit "$rc"
exec "/usr/local/lib/uplift/backup-$1" list
"""
