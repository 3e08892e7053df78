"""Backups: the timer runs, the newest one is young enough, and is what was written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from testinfra.host import Host

from uplift.settings import Settings
from uplift.spec.backup.state import CONFIGURATION, program, unit
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
    for subject, backup in wanted.wanted.items():
        said = host.run("%s list", program(subject))
        assert said.rc == 0, said.stdout
        newest = said.stdout.split(" ")[0]
        assert newest[:8].isdigit(), f"{subject}: {said.stdout}"
        taken = datetime.strptime(newest, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        now = datetime.fromtimestamp(int(host.check_output("date +%s")), UTC)
        assert now - taken < timedelta(hours=backup.max_age_hours), f"{subject}: {newest}"


def test_the_newest_backup_has_its_checksums(host: Host, wanted: Backups) -> None:
    for subject in wanted.wanted:
        said = host.run("%s sums", program(subject))
        assert said.rc == 0, said.stdout


def test_root_alone_reads_the_logins(host: Host, wanted: Backups) -> None:
    for subject in wanted.wanted:
        found = files.stat(host, f"{CONFIGURATION}/{subject}")
        assert found is not None
        assert (found.owner, found.is_private) == ("root", True)
