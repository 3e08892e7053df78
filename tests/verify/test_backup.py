"""Backups: the timer runs, the newest one is young enough, and is what was written."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from testinfra.host import Host

from uplift.settings import Settings
from uplift.spec.backup.state import CONFIGURATION, UNITS, program, unit
from uplift.spec.backup.subjects import Backups
from uplift.verify import files


@pytest.fixture(scope="module")
def wanted(settings: Settings) -> Backups:
    if settings.backups is None or not settings.backups.wanted:
        pytest.skip("the settings have no backups")
    return settings.backups


def test_the_timers_run_and_start_with_the_host(host: Host, wanted: Backups) -> None:
    for subject in wanted.wanted:
        said = host.run("systemctl is-enabled %s", f"{unit(subject)}.timer").stdout.strip()
        assert (subject, said) == (subject, "enabled")
        said = host.run("systemctl is-active %s", f"{unit(subject)}.timer").stdout.strip()
        assert (subject, said) == (subject, "active")


def test_the_last_run_did_not_fail(host: Host, wanted: Backups) -> None:
    for subject in wanted.wanted:
        said = host.run("systemctl show -p Result --value %s", f"{unit(subject)}.service")
        assert (subject, said.stdout.strip()) == (subject, "success")


def test_the_newest_backup_is_young_enough(host: Host, wanted: Backups) -> None:
    now = int(host.check_output("date +%s"))
    for subject, backup in wanted.wanted.items():
        taken = newest(host, subject)
        # Before the first backup, the schedule's own age counts.
        timer = f"{UNITS}/{unit(subject)}.timer"
        since = taken or int(host.check_output("stat -c %%Y %s", timer))
        hours = (now - since) / 3600
        assert hours < backup.max_age_hours, f"{subject}: no backup for {hours:.0f} hours"


def test_the_newest_backup_has_its_checksums(host: Host, wanted: Backups) -> None:
    for subject in wanted.wanted:
        if newest(host, subject):
            said = host.run("%s sums", program(subject))
            assert said.rc == 0, said.stdout


def newest(host: Host, subject: str) -> int | None:
    """Return when the newest backup was taken, in seconds since 1970, or None."""
    said = host.run("%s list", program(subject))
    assert said.rc == 0, said.stdout
    name = re.match(r"[0-9]{8}T[0-9]{6}Z", said.stdout)
    if name is None:
        return None
    taken = datetime.strptime(name[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return int(taken.timestamp())


def test_root_alone_reads_the_logins(host: Host, wanted: Backups) -> None:
    for subject in wanted.wanted:
        found = files.stat(host, f"{CONFIGURATION}/{subject}")
        assert found is not None
        assert (found.owner, found.is_private) == ("root", True)
