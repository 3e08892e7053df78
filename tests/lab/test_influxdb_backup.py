"""Backups of a real InfluxDB in trouble: damaged, interrupted, elsewhere, across an upgrade."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.lab.backup_box import DATA, NEW, OLD, PLACE, POINTS, PROGRAM, SERVICE, TIMER, Box, clean

# Minutes of starts, stops and waits.
pytestmark = pytest.mark.slow

Run = Callable[..., Any]
VOLUME = "/var/lib/docker/volumes/uplift-test-backup/_data"
BROKEN = "uplift-test-broken:1"


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
    """A host with an Engine and a filled InfluxDB of the older version."""
    name = str(hosts[0]["name"])
    for image in (OLD, NEW):
        uplift("lab", "image", image.partition("/")[2], "--name", lab_name)
    pyinfra("inventories/lab.py", "deploys/docker.py", "-y", "--limit", name)
    found = Box(name, ssh, environment, tmp_path_factory.mktemp("backup"))
    clean(found)
    found.run(OLD)
    found.fill()
    found.take()
    yield found
    clean(found)


def result(box: Box) -> str:
    return box.sh(f"systemctl show -p Result --value {SERVICE}")


def damage(box: Box) -> None:
    """Leave a server that cannot start any more."""
    box.sh(
        f"docker update --restart=unless-stopped influxdb; docker kill influxdb; "
        f"rm -rf {VOLUME}/engine/data; head -c 4096 /dev/urandom >{VOLUME}/influxd.bolt; "
        "docker start influxdb; sleep 2"
    )


def test_the_newer_version_has_all_points_of_the_older_one(box: Box) -> None:
    said = box.run(NEW)
    assert "image 2.7.11 -> 2.7.12" in said or "2.7.12" in said
    assert json.loads(box.api("GET", "../../health"))["version"].endswith("2.7.12")
    assert box.points() == POINTS


def test_a_failed_upgrade_that_damages_the_volume_leaves_the_old_one_with_all_points(
    box: Box,
) -> None:
    before = box.sh("docker inspect -f '{{.Config.Image}}' influxdb")
    gone = f"rm -rf {DATA}/engine && echo gone >{DATA}/influxd.bolt && [ ! -e {DATA}/engine ]"
    spoil = f"{gone} && echo all is spoiled; sleep 3600"
    recipe = f"FROM {NEW}\nENTRYPOINT {json.dumps(['sh', '-c', spoil])}\n"
    box.sh(f"printf %s {shlex.quote(recipe)} | docker build -q -t {BROKEN} -")
    said = box.run(BROKEN, ok=False, start_period=5)
    assert "FAILED at healthy" in said
    # The positive control, of its last lines: it did damage the volume before that was put back.
    assert "| all is spoiled" in said
    assert "the container of before serves again after" in said
    assert box.sh("docker inspect -f '{{.Config.Image}}' influxdb") == before
    assert box.points() == POINTS
    box.sh(f"docker rmi {BROKEN}", check=False)


def test_a_damaged_server_comes_back_by_restore_under_the_newer_version(box: Box) -> None:
    damage(box)
    assert box.sh(f"ls {VOLUME}/engine/data 2>/dev/null | wc -l") == "0"
    assert "restored" in box.restore()
    assert box.points() == POINTS


def test_a_server_that_nobody_set_up_is_filled_without_being_told_to_replace(box: Box) -> None:
    box.empty()
    box.sh(f"docker run -d --name influxdb -v uplift-test-backup:{DATA} {NEW}; sleep 3")
    assert "restored" in box.restore(replace=False)
    assert box.points() == POINTS
    # The deploy finds all that it wants of the server, and makes the container its own.
    box.run(NEW)
    assert box.points() == POINTS


def test_points_that_were_deleted_stay_deleted(box: Box) -> None:
    span = {
        "start": "2023-11-01T00:00:00Z",
        "stop": "2024-12-01T00:00:00Z",
        "predicate": 'host="h7"',
    }
    box.api("POST", "delete?org=main&bucket=metrics", json.dumps(span))
    left = box.points()
    assert left == POINTS - POINTS // 50
    box.take()
    box.restore()
    assert box.points() == left
    # Of the backup before, all come back.
    (older,) = (name for name in box.names() if name != max(box.names()))
    box.restore(older)
    assert box.points() == POINTS


def test_the_timer_starts_it_and_keeps_what_the_settings_say(box: Box) -> None:
    box.sh(f"systemctl start {SERVICE}")
    newest = max(box.names())
    box.sh(f"systemctl start {SERVICE}")
    assert len(box.names()) == 2
    assert newest in box.names()
    assert result(box) == "success"
    assert box.sh(f"systemctl show -p Unit --value {TIMER}") == SERVICE
    assert "03:15" in box.sh(f"systemctl list-timers --no-pager {TIMER}")


@pytest.mark.parametrize(
    "drift",
    [
        f"systemctl disable --now {TIMER}",
        f"systemctl stop {TIMER}",
        f"sed -i s/03:15/04:15/ /etc/systemd/system/{TIMER}; systemctl daemon-reload",
        f"rm /etc/systemd/system/{SERVICE}",
        f"echo true >>{PROGRAM}",
        "chmod 644 /etc/uplift/backup/influxdb/curl",
        "echo other >/etc/uplift/backup/influxdb/curl",
    ],
)
def test_drift_is_repaired_once(box: Box, drift: str) -> None:
    box.sh(drift)
    # pyinfra fills names up to the longest one of the inventory.
    unchanged = re.compile(rf"\[{box.name}\] +No changes")
    assert not unchanged.search(box.backup())
    assert unchanged.search(box.backup())
    assert box.sh(f"systemctl is-enabled {TIMER}; systemctl is-active {TIMER}").split() == [
        "enabled",
        "active",
    ]


def test_a_damaged_backup_is_refused_and_nothing_is_touched(box: Box) -> None:
    box.take()
    newest = f"{PLACE}/influxdb/{max(box.names())}"
    box.sh(f"cp -a {newest} {newest}-whole")
    started = box.sh("docker inspect -f '{{.State.StartedAt}}' influxdb")
    for spoil in (
        "printf x | dd of=data.tar.gz bs=1 seek=2000 conv=notrunc status=none",
        "truncate -s -1 data.tar.gz",
        "sed -i 's/^points .*/points 1/' manifest",
        "rm SHA256SUMS",
        "rm manifest",
    ):
        box.sh(f"rm -rf {newest}; cp -a {newest}-whole {newest}; cd {newest} && {spoil}")
        assert re.search("is damaged|cannot be read", box.restore(ok=False)), spoil
    assert box.sh("docker inspect -f '{{.State.StartedAt}}' influxdb") == started
    box.sh(f"rm -rf {newest}; mv {newest}-whole {newest}")
    assert "was read back" in box.sh(f"{PROGRAM} check latest")


def test_a_failed_backup_leaves_the_older_ones_and_shows(box: Box) -> None:
    before = box.names()
    box.sh("echo 'header = \"Authorization: Token no\"' >/etc/uplift/backup/influxdb/curl")
    done = box.sh(f"systemctl start {SERVICE}", check=False)
    assert "failed" in done
    assert result(box) == "exit-code"
    assert "does not take the operator token" in box.sh(f"journalctl -q -n 5 -o cat -u {SERVICE}")
    assert box.names() == before
    assert box.sh("ls -A /var/lib/uplift/backup/influxdb") == "lock"
    box.take()


def test_a_full_disk_is_told_before_anything_is_written(box: Box) -> None:
    before = box.names()
    box.sh("mkdir -p /mnt/small && mount -t tmpfs -o size=200k tmpfs /mnt/small")
    try:
        assert "disk: the backup needs" in box.take(ok=False, target="/mnt/small")
        assert box.sh("ls -A /mnt/small/influxdb") in ("origin", "origin\n")
    finally:
        box.sh("umount /mnt/small; rmdir /mnt/small")
    assert box.names() == before


def test_a_restore_that_fails_puts_the_present_state_back(box: Box) -> None:
    points = box.points()
    box.api("POST", "write?org=main&bucket=metrics&precision=s", "m,host=new f=1 1600000000")
    # The server is not let go on with what was restored, once.
    box.sh(
        f"sed 's/^serves() {{/serves() {{ echo stopped by the test >\"$new\\/why\"; return 1;/' "
        f"{PROGRAM} >/run/uplift-test-program"
    )
    done = box.sh("sh /run/uplift-test-program restore latest replace", check=False)
    assert "stopped by the test" in done
    assert "the state of before is back" in done
    # What came after the backup is there as well.
    assert box.points() == points + 1


@pytest.mark.crash
def test_a_restore_that_is_killed_is_taken_back_by_the_next_run(box: Box) -> None:
    points = box.points()
    box.sh(
        f"sed 's/^serves() {{/serves() {{ kill -9 $$;/' {PROGRAM} >/run/uplift-test-program; "
        "sh /run/uplift-test-program restore latest replace; :",
        check=False,
    )
    assert box.sh("cat /var/lib/uplift/backup/influxdb/aside | head -n 1") == "filling"
    assert "an interrupted restore was taken back" in box.sh(f"{PROGRAM} settle")
    assert box.points() == points
    assert box.sh("test -e /var/lib/uplift/backup/influxdb/aside || echo not there") == "not there"


def test_two_at_once_are_not_let_run(box: Box) -> None:
    held = f"flock /var/lib/uplift/backup/influxdb/lock {PROGRAM} take"
    assert "another backup or restore is at work" in box.sh(held, check=False)


def test_the_server_is_stopped_for_a_copy_where_the_settings_say_so(box: Box) -> None:
    points = box.points()
    said = box.take(method="stopped")
    assert f"{points} points, " in said
    assert "stopped seconds" in said
    assert box.points() == points
    assert box.sh("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' influxdb") == (
        "unless-stopped"
    )
    box.restore()
    assert box.points() == points


def test_backups_go_to_another_host_whose_key_is_known_and_come_back(
    box: Box, hosts: list[dict[str, Any]]
) -> None:
    other = str(hosts[1]["name"])
    key = box.sh("cat /etc/ssh/ssh_host_ed25519_key.pub", on=other)
    wrong = box.sh("cat /etc/ssh/ssh_host_ed25519_key.pub")
    box.sh(
        "userdel -rf uplift-test 2>/dev/null; useradd -m -s /bin/sh uplift-test; "
        "install -d -o uplift-test -m 0700 /home/uplift-test/.ssh",
        on=other,
    )
    target = f"uplift-test@{other}:/home/uplift-test/backups"
    try:
        said = box.backup(target=target, ssh={"host_key": key})
        (line,) = re.findall(r"ssh-ed25519 \S+ uplift-backup-influxdb@\S+", said)
        assert "Permission denied" in box.take(ok=False, target=target, ssh={"host_key": key})
        box.sh(
            f"echo {shlex.quote(line)} >/home/uplift-test/.ssh/authorized_keys; "
            "chown uplift-test /home/uplift-test/.ssh/authorized_keys",
            on=other,
        )
        refused = box.take(ok=False, target=target, ssh={"host_key": wrong})
        assert "Host key verification failed" in refused
        taken = box.take(target=target, ssh={"host_key": key})
        (name,) = box.sh("ls /home/uplift-test/backups/influxdb | grep T", on=other).split()
        assert name in taken
        points = box.points()
        box.api("DELETE", f"buckets/{bucket(box)}")
        box.sh(f"{PROGRAM} restore {name} replace")
        assert box.points() == points
    finally:
        box.sh("userdel -rf uplift-test", check=False, on=other)
        box.backup()


def bucket(box: Box) -> str:
    (found,) = (
        it
        for it in json.loads(box.api("GET", "buckets?limit=100"))["buckets"]
        if it["name"] == "metrics"
    )
    return str(found["id"])


def test_a_host_does_not_remove_the_backups_of_another(box: Box) -> None:
    box.sh("mkdir -p /srv/other/influxdb; echo elsewhere >/srv/other/influxdb/origin")
    try:
        assert "holds the backups of host elsewhere" in box.take(ok=False, target="/srv/other")
    finally:
        box.sh("rm -rf /srv/other")


def test_slips_of_the_command_line_are_named(box: Box) -> None:
    words = ["--data", "subject=influxd", "--data", "backup=latest"]
    done = box.pyinfra("deploys/restore.py", *words)
    assert done.returncode != 0
    assert "did you mean 'influxdb'?" in done.stdout + done.stderr
    assert "there is no backup 20200101T000000Z" in box.restore("20200101T000000Z", ok=False)
    done = box.pyinfra("deploys/restore.py", "--data", "subject=influxdb")
    assert "--data backup=latest" in done.stdout + done.stderr
    assert done.returncode != 0
