"""Read what a host has of its backups' schedules, and say what backups there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from uplift.facts.look import LOOK
from uplift.spec.backup.state import CONFIGURATION, KEY, UNITS, State, Subject
from uplift.spec.entry import Entry

# Arguments: for each subject its name, its schedule, "remote" or "local", the number of its files,
# and these. The salt comes by standard input: the hash of a secret is nothing to try guesses on.
_SCRIPT = r"""
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
salt=$(cat)
salted() {
  [ ! -L "$1" ] && [ -f "$1" ] &&
    { printf '%s\n' "$salt"; cat "$1"; } | sha256sum | cut -c 1-64
}
systemd=no
[ -d /run/systemd/system ] && systemd=yes
line host "$(id -u)" "$systemd"
for one in curl flock docker sha256sum gzip tar nsenter; do
  command -v "$one" >/dev/null 2>&1 || line missing "$one"
done
for path in @units@/uplift-backup-*.timer; do
  [ ! -e "$path" ] || { path=${path##*/uplift-backup-}; line there "${path%.timer}"; }
done
while [ $# -gt 0 ]; do
  subject=$1 schedule=$2 where=$3 count=$4; shift 4
  unit=uplift-backup-$subject
  if [ "$where" = remote ]; then
    for one in ssh ssh-keygen; do command -v "$one" >/dev/null 2>&1 || line missing "$one"; done
  fi
  calendar=no
  systemd-analyze calendar -- "$schedule" >/dev/null 2>&1 && calendar=yes
  key=
  [ ! -s "@configuration@/$subject/@key@" ] ||
    key=$(cut -d ' ' -f 1,2 "@configuration@/$subject/@key@.pub" 2>/dev/null)
  line subject "$subject" "$(systemctl is-enabled "$unit.timer" 2>/dev/null)" \
    "$(systemctl is-active "$unit.timer" 2>/dev/null)" "$calendar" "$key" \
    "$(systemctl show -p NeedDaemonReload --value "$unit.timer" "$unit.service" 2>/dev/null |
      tr -d '\n')"
  while [ "$count" -gt 0 ]; do
    look "file $1" "$1" "$(salted "$1")"
    count=$((count - 1)); shift
  done
done
exit 0
"""


class Backups(FactBase[State | None]):
    """Return what a host has of its backups as :class:`uplift.spec.backup.state.State`.

    None when it cannot be read.
    """

    def command(self, subjects: Mapping[str, tuple[str, bool, Sequence[str]]]) -> StringCommand:
        """Return the one command; the salt comes by standard input.

        Args:
            subjects: by name the schedule, whether the target is another host, and paths.
        """
        words = [
            word
            for name, (schedule, remote, paths) in subjects.items()
            for word in (name, schedule, "remote" if remote else "local", str(len(paths)), *paths)
        ]
        text = f"{LOOK}\n{_SCRIPT.strip()}"
        for word, value in {"units": UNITS, "configuration": CONFIGURATION, "key": KEY}.items():
            text = text.replace(f"@{word}@", value)
        quoted = [QuoteString(word) for word in words]
        return StringCommand("sh", "-c", QuoteString(text), "uplift", *quoted)

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def process(self, output: Iterable[str]) -> State:
        """Turn the lines of the script into a value."""
        uid, systemd = -1, False
        missing: list[str] = []
        there: set[str] = set()
        subjects: dict[str, Subject] = {}
        files: dict[str, Entry] = {}
        for line in output:
            word, *values = line.split("\t")
            if word == "host":
                uid, systemd = int(values[0]), values[1] == "yes"
            elif word == "missing":
                missing.append(values[0])
            elif word == "there":
                there.add(values[0])
            elif word == "subject":
                files = {}
                subjects[values[0]] = _subject(values[1:], files)
            else:
                files[word.removeprefix("file ")] = Entry(*values)
        return State(uid, systemd, tuple(dict.fromkeys(missing)), frozenset(there), subjects)


def _subject(values: Sequence[str], files: Mapping[str, Entry]) -> Subject:
    enabled, active, calendar, key, reload = values
    return Subject(
        files=files,
        enabled=enabled == "enabled",
        active=active == "active",
        stale="yes" in reload,
        key=key,
        calendar=calendar == "yes",
    )
