"""Backups of a real InfluxDB: taken, read back, listed, and restored over a deleted bucket."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.lab.backup_box import NEW, PLACE, POINTS, TIMER, TOKEN, Box, clean

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def box(
    hosts: list[dict[str, Any]],
    ssh: Run,
    uplift: Run,
    pyinfra: Run,
    environment: dict[str, str],
    lab_name: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Box]:
    """A host with an Engine and a filled InfluxDB."""
    name = str(hosts[0]["name"])
    uplift("lab", "image", NEW.partition("/")[2], "--name", lab_name)
    pyinfra("inventories/lab.py", "deploys/docker.py", "-y", "--limit", name)
    found = Box(name, ssh, environment, tmp_path_factory.mktemp("backup"))
    clean(found)
    found.run(NEW)
    found.fill()
    yield found
    clean(found)


@pytest.fixture(scope="module")
def first(box: Box) -> str:
    """What the first run with a backup on request said."""
    return box.take()


def test_a_backup_on_request_is_read_back_and_listed(first: str, box: Box) -> None:
    (name,) = box.names()
    assert f"{name} taken and read back" in first
    assert f"{name}  " in first
    # The positive control of the count: that of the server itself.
    assert f"{POINTS} points" in first
    assert box.points() == POINTS
    assert box.sh("docker ps -aq --filter name=uplift-backup") == ""


def test_the_second_run_changes_nothing(first: str, box: Box) -> None:
    before = box.sh(f"systemctl show -p ActiveEnterTimestampMonotonic {TIMER}")
    # pyinfra fills names up to the longest one of the inventory.
    assert re.search(rf"\[{box.name}\] +No changes", box.backup())
    assert box.sh(f"systemctl show -p ActiveEnterTimestampMonotonic {TIMER}") == before


def test_nothing_of_it_is_readable_by_others_and_no_secret_stands_in_units(
    first: str, box: Box
) -> None:
    (name,) = box.names()
    found = box.sh(f"grep -rls {TOKEN} /etc/uplift/backup /etc/systemd /usr/local /run/systemd; :")
    # The one place where it stands is the positive control.
    assert found == "/etc/uplift/backup/influxdb/curl"
    mode = box.sh(f"stat -c %a {found} {PLACE}/influxdb/{name}/*")
    assert set(mode.split()) == {"600"}
    journal = box.sh("journalctl -q --no-pager -u 'uplift-*'")
    assert "taken and read back" in journal
    assert TOKEN not in journal + first


def test_a_restore_over_data_wants_to_be_told_so(first: str, box: Box) -> None:
    started = box.sh("docker inspect -f '{{.State.StartedAt}}' influxdb")
    assert "add --data replace=yes" in box.restore(replace=False, ok=False)
    assert box.sh("docker inspect -f '{{.State.StartedAt}}' influxdb") == started


def test_a_deleted_bucket_comes_back_with_all_points(first: str, box: Box) -> None:
    (bucket,) = (
        it
        for it in json.loads(box.api("GET", "buckets?limit=100"))["buckets"]
        if it["name"] == "metrics"
    )
    box.api("DELETE", f"buckets/{bucket['id']}")
    assert "metrics" not in box.buckets()
    assert "restored" in box.restore()
    assert "metrics" in box.buckets()
    assert box.points() == POINTS
    assert box.sh("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' influxdb") == (
        "unless-stopped"
    )
