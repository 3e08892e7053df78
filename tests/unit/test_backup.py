"""Backups: which settings are refused, what is compared, and which backups go."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as rounds
from hypothesis import strategies as st

from uplift.operations import backup_script, influxdb_backup
from uplift.operations.backup_restore import RESTORE
from uplift.operations.backup_script import _TAKE
from uplift.settings import from_data
from uplift.spec.backup.models import Backup
from uplift.spec.backup.state import State, Subject, Wanted, plan, refusal
from uplift.spec.entry import ABSENT, Entry
from uplift.spec.errors import SettingsError
from uplift.spec.influxdb.backup import DATA, InfluxBackup

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7y"
TOKEN = {"secret": "influxdb/operator"}


def block(**fields: Any) -> dict[str, Any]:
    return {"influxdb": {"target": "/srv/backup", "token": TOKEN, **fields}}


def parsed(**fields: Any) -> Backup:
    found = from_data({"backups": block(**fields)}).backups
    assert found is not None
    return found.wanted["influxdb"]


def refused(**fields: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        from_data({"backups": block(**fields)}, {"backups": "group_data/all.py"})
    (problem,) = caught.value.problems
    assert str(problem).startswith("group_data/all.py: backups.influxdb")
    return str(problem)


@pytest.mark.parametrize(
    "schedule",
    ["daily", "*-*-* 03:15:00", "Sun 04:00", "Mon..Fri *-*-* 22:30", "Mon,Thu 1:00", "*:0/15",
     "2027-*-01 00:00:00 Europe/Berlin", "*-*~1 05:00"],
)  # fmt: skip
def test_times_of_systemd_are_taken(schedule: str) -> None:
    assert parsed(schedule=schedule).schedule == schedule
    if shutil.which("systemd-analyze"):
        subprocess.run(["systemd-analyze", "calendar", "--", schedule], check=True)


@pytest.mark.parametrize(
    "schedule", ["0 3 * * *", "dayly", "at noon", "", "03:15; reboot", " daily"]
)
def test_what_is_no_time_of_systemd_is_refused_with_an_example(schedule: str) -> None:
    assert "as 'daily', '*-*-* 03:15:00'" in refused(schedule=schedule)


@pytest.mark.parametrize(
    "target",
    ["srv", "/", "/srv/../etc", "/srv/it's", "/srv/a b", "-oProxy=x@h:/srv", "h:/srv", "/-x"],
)
def test_a_target_that_is_no_plain_path_is_refused(target: str) -> None:
    assert "user@host:/srv/backup" in refused(target=target)


def test_a_target_on_another_host_needs_its_key() -> None:
    assert "ssh is required" in refused(target="backup@nas:/srv")
    assert "ssh is for a target on another host" in refused(ssh={"host_key": HOST_KEY})
    assert "ssh_host_ed25519_key.pub" in refused(
        target="backup@nas:/srv", ssh={"host_key": "SHA256:abc"}
    )
    found = parsed(target="backup@nas:/srv", ssh={"host_key": f"{HOST_KEY} root@nas"})
    assert found.ssh is not None
    assert found.ssh.host_key == HOST_KEY
    assert (found.place.login, found.place.path) == ("backup@nas", "/srv")


def test_a_token_in_the_settings_is_refused_and_a_slip_is_named() -> None:
    assert "must be a reference" in refused(token="plain")
    assert "did you mean 'schedule'?" in refused(shedule="daily")


FILE = Wanted("/etc/systemd/system/uplift-backup-influxdb.timer", "644", "ab", "text")
GOOD = Subject({FILE.path: FILE.entry}, True, True, False, "", True)


def state(subject: Subject = GOOD, **fields: Any) -> State:
    values = {"uid": 0, "systemd": True, "missing": (), "there": frozenset({"influxdb"})}
    return State(subjects={"influxdb": subject}, **{**values, **fields})


def words(subject: Subject) -> list[str]:
    return list(plan({"influxdb": parsed()}, {"influxdb": [FILE]}, state(subject)).words)


def test_nothing_is_to_be_done_where_all_is_well() -> None:
    assert words(GOOD) == []


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"enabled": False}, "timer started"),
        ({"active": False}, "timer started"),
        ({"stale": True}, "systemd reads the units anew"),
        ({"files": {FILE.path: ABSENT}}, f"{FILE.path} written"),
        ({"files": {FILE.path: Entry("file", "644 0:0", "cd")}}, f"{FILE.path} changed"),
        ({"files": {FILE.path: Entry("file", "666 0:0", "ab")}}, "666 0:0 -> 644 0:0"),
        ({"files": {FILE.path: Entry("link", "", "/etc/passwd")}}, "a link is replaced"),
    ],
)
def test_each_drift_is_named_and_starts_the_timer(changed: dict[str, Any], word: str) -> None:
    subject = replace(GOOD, **changed)
    assert word in words(subject)[0]
    todo = plan({"influxdb": parsed()}, {"influxdb": [FILE]}, state(subject))
    assert todo.start == ["influxdb"]


def test_a_subject_that_left_the_settings_loses_its_timer() -> None:
    todo = plan({}, {}, state())
    assert (todo.remove, todo.start) == (["influxdb"], [])


def test_a_host_that_cannot_make_backups_is_refused() -> None:
    wanted = {"influxdb": parsed()}
    assert refusal(wanted, state()) is None
    assert "no systemd" in str(refusal(wanted, state(systemd=False)))
    assert "root" in str(refusal(wanted, state(uid=1000)))
    assert "not installed on this host: curl" in str(refusal(wanted, state(missing=("curl",))))
    odd = state(replace(GOOD, calendar=False))
    assert "systemd-analyze calendar" in str(refusal(wanted, odd))


def program() -> str:
    found = parsed()
    assert isinstance(found, InfluxBackup)
    hooks = influxdb_backup.hooks(found)
    return backup_script.render("influxdb", found, found.method, DATA, hooks)


def test_the_program_is_shell_that_every_sh_reads() -> None:
    subprocess.run(["sh", "-n"], input=program(), text=True, check=True)
    assert "@" not in program().replace('"${', "").split("set -u")[0]


def removed(names: list[str], last: int, daily: int, weekly: int) -> list[str]:
    """What the program's own function would remove."""
    function = _TAKE[_TAKE.index("surplus()") : _TAKE.index("prune()")]
    head = f"keep_last={last} keep_daily={daily} keep_weekly={weekly}\n"
    done = subprocess.run(
        ["sh", "-c", f"{head}{function}\nsurplus"],
        input="".join(f"{name}\n" for name in names),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_of_each_day_the_newest_stays_and_of_each_week() -> None:
    names = ["20261121T120000Z", "20261121T060000Z", "20261120T060000Z", "20261113T060000Z"]
    assert removed(names, 1, 2, 2) == ["20261121T060000Z"]
    assert removed(names, 1, 1, 0) == names[1:]
    assert removed(names, 1, 0, 2) == ["20261121T060000Z", "20261120T060000Z"]
    assert removed(names, 4, 0, 0) == []


@rounds(max_examples=30, deadline=None)
@given(
    hours=st.sets(st.integers(0, 24 * 60), min_size=1, max_size=30),
    last=st.integers(1, 5),
    daily=st.integers(0, 5),
    weekly=st.integers(0, 5),
)
def test_what_stays_is_what_any_rule_keeps(
    hours: set[int], last: int, daily: int, weekly: int
) -> None:
    begin = datetime(2026, 12, 1, tzinfo=UTC)
    times = sorted((begin + timedelta(hours=hour) for hour in hours), reverse=True)
    stay = set(times[:last])
    for number, key in ((daily, "%Y%m%d"), (weekly, "%G%V")):
        newest: dict[str, datetime] = {}
        for time in times:
            newest.setdefault(time.strftime(key), time)
        stay |= set(list(newest.values())[:number])
    gone = removed([f"{time:%Y%m%dT%H%M%SZ}" for time in times], last, daily, weekly)
    assert gone == [f"{time:%Y%m%dT%H%M%SZ}" for time in times if time not in stay]


# $dies: a command before whose call of that number the program is killed.
_ASIDE = r"""
still() { :; }; resume() { :; }; enough() { :; }; chown() { :; }; calls=0
counted() {
  [ "$1" != "$dies" ] || { calls=$((calls + 1)); [ "$calls" -le "${before:-0}" ] || kill -9 $$; }
}
rmdir() { counted rmdir; command rmdir "$@"; }
rm() { counted rm; command rm "$@"; }
sed() { counted sed; command sed "$@"; }
find() { counted find; command find "$@"; }
cp() { counted cp; command cp "$@"; }
"""


class Aside:
    """A data folder, and the program's functions that put it aside and back."""

    def __init__(self, folder: Path, *, copies: bool) -> None:
        self.folder = folder
        self.copies = copies
        (folder / "data/engine").mkdir(parents=True)
        (folder / "work").mkdir()
        (folder / "data/bolt").write_text("before")
        (folder / "data/engine/shard").write_text("before")

    def sh(self, text: str, dies: str = "", before: int = 0) -> int:
        functions = RESTORE[RESTORE.index("put_aside()") : RESTORE.index("undo()")]
        other = "beside() { false; }" if self.copies else ""
        head = f"src={self.folder}/data work={self.folder}/work dies={dies} before={before}\n"
        whole = f"{head}{_ASIDE}{functions}{other}\n{text}"
        return subprocess.run(["sh", "-c", whole], capture_output=True, check=False).returncode

    @property
    def data(self) -> dict[str, str]:
        root = self.folder / "data"
        files = (it for it in root.rglob("*") if it.is_file())
        return {str(it.relative_to(root)): it.read_text() for it in files}


BEFORE = {"bolt": "before", "engine/shard": "before"}


@pytest.mark.parametrize("copies", [False, True], ids=["renamed", "copied"])
@pytest.mark.parametrize(
    ("dies", "before"),
    [("", 0), ("find", 0), ("find", 1), ("sed", 0), ("sed", 1), ("cp", 0), ("rmdir", 0), ("rm", 0)],
)
@pytest.mark.parametrize("while_doing", ["put_aside", "put_back"])
def test_what_was_there_comes_back_wherever_a_restore_or_its_undoing_is_killed(
    tmp_path: Path, while_doing: str, dies: str, before: int, copies: bool
) -> None:
    box = Aside(tmp_path, copies=copies)
    if while_doing == "put_aside":
        box.sh("put_aside", dies, before)
    else:
        # The positive control: it does go away.
        assert box.sh("put_aside") == 0
        assert box.data == {}
        box.sh("echo half >$src/bolt; put_back", dies, before)
    # Perhaps it was killed before it began, or was through already.
    assert box.sh("[ ! -e $work/aside ] || put_back") == 0
    assert box.data == BEFORE
    assert not (tmp_path / "work/aside").exists()


def test_nothing_is_deleted_when_what_was_put_aside_is_gone(tmp_path: Path) -> None:
    box = Aside(tmp_path, copies=False)
    assert box.sh("put_aside; printf restored >$src/bolt; rm -rf $aside") == 0
    assert box.sh("put_back") != 0
    assert box.data == {"bolt": "restored"}
