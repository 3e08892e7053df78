"""The files of backups' schedules on a host, and the script that puts them there."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence

from uplift.operations import backup_script, influxdb_backup, nexus_backup
from uplift.operations.backup_server import LOGIN_FILE
from uplift.spec.backup.models import Backup
from uplift.spec.backup.state import (
    CONFIGURATION,
    KEY,
    PROGRAMS,
    UNITS,
    Plan,
    Wanted,
    program,
    unit,
)
from uplift.spec.influxdb.backup import DATA, InfluxBackup
from uplift.spec.nexus.backup import NexusBackup
from uplift.spec.nexus.server import FOLDER
from uplift.spec.secret import Secret, SecretRef

Values = Mapping[SecretRef, Secret]


def files(name: str, backup: Backup, values: Values, salt: str) -> list[Wanted]:
    """Return the files of a subject, the units last.

    Args:
        name: of the subject.
        backup: its settings.
        values: of the secrets.
        salt: random text before what is hashed.
    """
    folder = f"{CONFIGURATION}/{name}"
    text, login = _own(name, backup, values)
    found = [(program(name), "755", text), (f"{folder}/{LOGIN_FILE}", "600", login)]
    if backup.ssh:
        found.append((f"{folder}/known_hosts", "600", f"backup-target {backup.ssh.host_key}\n"))
        if backup.ssh.key:
            text = f"{values[backup.ssh.key].reveal().rstrip()}\n"
            found.append((f"{folder}/{KEY}", "600", text))
    found.append((f"{UNITS}/{unit(name)}.service", "644", _SERVICE.format(name=name)))
    timer = _TIMER.format(name=name, schedule=backup.schedule)
    found.append((f"{UNITS}/{unit(name)}.timer", "644", timer))
    return [Wanted(path, mode, _salted(salt, text), text) for path, mode, text in found]


def _own(name: str, backup: Backup, values: Values) -> tuple[str, str]:
    """Return a subject's program and the file of its login."""
    if isinstance(backup, InfluxBackup):
        hooks = influxdb_backup.hooks(backup)
        text = backup_script.render(name, backup, backup.method, DATA, hooks)
        return text, influxdb_backup.token_file(values[backup.token])
    if isinstance(backup, NexusBackup):
        hooks = nexus_backup.hooks(backup)
        text = backup_script.render(name, backup, backup.method, FOLDER, hooks)
        return text, nexus_backup.login_file(backup.user, values[backup.password])
    msg = f"nobody knows how to back up {name}"
    raise TypeError(msg)


def _salted(salt: str, text: str) -> str:
    return hashlib.sha256(f"{salt}\n{text}".encode()).hexdigest()


_SERVICE = """# Written by uplift (deploys/backup.py).
[Unit]
Description=Backup of {name}
Wants=network-online.target
After=network-online.target docker.service

[Service]
Type=oneshot
ExecStart=/usr/local/lib/uplift/backup-{name} take
ExecStopPost=/usr/local/lib/uplift/backup-{name} settle
TimeoutStartSec=12h
Nice=10
"""

_TIMER = """# Written by uplift (deploys/backup.py).
[Unit]
Description=Schedule of the backup of {name}

[Timer]
OnCalendar={schedule}
Persistent=true

[Install]
WantedBy=timers.target
"""


def payload(files: Sequence[Wanted]) -> str:
    """Return what the script of :func:`apply` reads; it may hold secrets.

    Args:
        files: that are written.
    """
    lines = [
        f"{it.path} {it.mode} {base64.b64encode(it.content.encode()).decode()}" for it in files
    ]
    return "\n".join([*lines, "end", ""])


def apply(todo: Plan) -> str:
    """Return the script that writes files, makes keys, and starts and removes timers.

    Args:
        todo: what is to be done.
    """
    lines = [_WRITE.strip()]
    lines += [f"make_key {name}" for name in todo.keys]
    lines += [f"remove {name}" for name in todo.remove]
    lines += ["systemctl daemon-reload || fail 'systemd does not read its units'"]
    lines += [f"start {name}" for name in todo.start]
    text = "\n".join([*lines, "exit 0"])
    for word, value in {
        "configuration": CONFIGURATION,
        "programs": PROGRAMS,
        "units": UNITS,
        "key": KEY,
    }.items():
        text = text.replace(f"@{word}@", value)
    return text


_WRITE = r"""
export LC_ALL=C
umask 077
fail() { cat >/dev/null; printf 'backup: %s\n' "$*" >&2; exit 1; }
install -d -m 0755 @programs@ /etc/uplift && install -d -m 0700 @configuration@ ||
  fail "cannot make @configuration@"
put() {
  folder=${1%/*}
  case $folder in @configuration@/*) install -d -m 0700 "$folder" || return 1 ;; esac
  temp=$(mktemp "$folder/.uplift-XXXXXXXXXX") || return 1
  chmod "$2" "$temp" && printf '%s' "$3" | base64 -d >"$temp" && chown 0:0 "$temp" &&
    sync "$temp" && rm -rf "${1:?}.uplift-old" &&
    { [ ! -d "$1" ] || [ -L "$1" ] || mv -T "$1" "$1.uplift-old"; } &&
    mv -fT "$temp" "$1" || { rm -f "$temp"; return 1; }
}
make_key() {
  rm -f "@configuration@/$1/@key@" "@configuration@/$1/@key@.pub"
  install -d -m 0700 "@configuration@/$1" &&
    ssh-keygen -q -t ed25519 -N '' -C "uplift-backup-$1@$(uname -n)" \
      -f "@configuration@/$1/@key@" </dev/null || fail "cannot make an SSH key"
}
start() {
  systemctl enable --quiet "uplift-backup-$1.timer" &&
    systemctl restart "uplift-backup-$1.timer" || fail "the timer of $1 does not start"
}
remove() {
  systemctl disable --quiet --now "uplift-backup-$1.timer"
  # Else a last run that failed stays in systemd's list, of a unit that is gone.
  systemctl reset-failed "uplift-backup-$1.service" 2>/dev/null
  rm -rf "@units@/uplift-backup-$1.timer" "@units@/uplift-backup-$1.service" \
    "@programs@/backup-$1" "@configuration@/$1"
}
whole=0
while IFS=' ' read -r path mode content; do
  if [ "$path" = end ]; then whole=1; break; fi
  put "$path" "$mode" "$content" || fail "cannot write $path"
done
[ "$whole" = 1 ] || fail "the list of files was cut off: run again"
"""
