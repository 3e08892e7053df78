"""Applications on a real host behind a real HAProxy: switched under load, broken, rolled back."""

from __future__ import annotations

import json
import os
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
from tests.lab.app_box import DRAIN, REPOSITORY, Run, Site
from tests.lab.prober import RATE, Prober, WebSocket, streamed

pytest_plugins = ["tests.lab.app_box"]

# What is asked there, in a word that only who may speak to it is answered.
SOCKETS = {"/run/haproxy-master.sock": "show proc", "/run/haproxy/admin.sock": "show info"}
ADMIN = "socat - UNIX-CONNECT:/run/haproxy/admin.sock"
LONG = {**DRAIN, "seconds": 300}
SWITCH_COMMANDS = 6  # remote commands that a switch may cost a host


def test_what_runs_already_is_left_alone(old: Site) -> None:
    before = old.seen()
    assert old.changed("1.4.0-poetry") == []
    assert old.seen() == before


def moved(
    box: Site, prober: Prober, pool: ThreadPoolExecutor, now: str, then: str, *words: str
) -> str:
    """Move the traffic; a stream and a WebSocket of before live on until they end by themselves."""
    socket, lines = WebSocket(box.address, box.port, timeout=120), []
    stream = streamed(box.address, box.port, 20, lines)
    assert socket.say("a") == f"{now}:a"
    known = prober.answers[then]
    # A limit that nobody waits for: the drain ends with the last connection.
    switch = pool.submit(box.run, "2.0.0-uv", *words, drain=LONG)
    while prober.answers[then] == known and not switch.done():
        time.sleep(0.5)
    assert socket.say("b") == f"{now}:b"
    stream.join(60)
    assert lines[-1] == f"{now} 39"
    assert socket.say("c") == f"{now}:c"
    assert not switch.done()
    socket.close()
    done = switch.result()
    return done.stdout + done.stderr


def test_there_and_back_under_load_no_request_fails_and_no_connection_is_cut(box: Site) -> None:
    # Drained as its own release says, also on the way back.
    box.run("1.4.0-poetry", drain=LONG, environment={"DRAIN": "long"})
    worker, before = box.worker(), box.sessions()
    with Prober(box.address, box.port) as prober, ThreadPoolExecutor() as pool:
        time.sleep(5)
        said = moved(box, prober, pool, "1.4.0", "2.0.0")
        # One session is the count's own.
        assert box.sessions() - before - 1 <= SWITCH_COMMANDS
        said += moved(box, prober, pool, "2.0.0", "1.4.0", "--data", "to=poetry")
        while sum(prober.answers.values()) < 1000 and not prober.failures:
            time.sleep(0.5)
    assert "still open" not in said
    assert prober.failures == []
    assert prober.rate > 0.9 * RATE
    assert set(prober.answers) == {"1.4.0", "2.0.0"}
    assert sorted(box.containers().split()[1::2]) == ["exited", "running"]
    for slot in ("blue", "green"):
        assert "drain told" in box.sh(f"docker logs testapp-{slot} 2>&1")
    assert box.worker() == worker  # nothing was reloaded


def test_a_slot_that_haproxy_has_as_down_gets_all_the_traffic_only_when_it_is_up(old: Site) -> None:
    other = "green" if "testapp-blue running" in old.containers() else "blue"
    # As a switch leaves it that was interrupted: nobody is there, and HAProxy asks.
    old.sh(f"echo 'set server testapp/{other} state drain' | {ADMIN}; sleep 3")
    with Prober(old.address, old.port) as prober:
        old.run("2.0.0-uv")
    assert prober.failures == []
    assert old.version() == "2.0.0"


@pytest.mark.slow
def test_a_connection_in_a_process_of_haproxy_that_was_reloaded_is_waited_for(old: Site) -> None:
    socket, hold = WebSocket(old.address, old.port, timeout=120), 3
    assert socket.say("a") == "1.4.0:a"
    old.sh("systemctl reload haproxy")
    with ThreadPoolExecutor() as pool:
        switch = pool.submit(old.run, "2.0.0-uv", hold=hold, drain={**DRAIN, "seconds": 300})
        while old.version() != "2.0.0" and not switch.done():
            time.sleep(0.5)
        time.sleep(hold + 5)
        assert socket.say("b") == "1.4.0:b"
        assert not switch.done()
        socket.close()
        switch.result()
    assert old.containers().split()[1::2].count("running") == 1


def test_the_prober_reports_failures_when_haproxy_is_stopped(old: Site) -> None:
    with Prober(old.address, old.port) as prober:
        time.sleep(2)
        old.sh("systemctl stop haproxy")
        time.sleep(2)
        old.sh("systemctl start haproxy")
    assert prober.failures


@pytest.mark.parametrize(
    ("tag", "hold", "reason"),
    [
        ("2.1.0-uv", 3, "FAILED at healthy: its check (http) fails: answers 500"),
        ("2.2.0-uv", 15, "s after the switch: its check (http) fails: answers 500"),
    ],
)
def test_a_release_that_is_not_or_does_not_stay_ready_leaves_the_old_one_serving(
    old: Site, tag: str, hold: int, reason: str
) -> None:
    with Prober(old.address, old.port) as prober:
        done = old.run(tag, check=False, hold=hold)
    assert done.returncode == 1
    said = (done.stdout + done.stderr).split("Starting operation: Application")[1]
    assert reason in "\n".join(said.splitlines()[:5])
    assert f"version {tag.partition('-')[0]}" in said
    assert old.version() == "1.4.0"
    assert prober.failures == []


def test_a_release_that_ends_soon_after_the_switch_is_put_back(old: Site) -> None:
    done = old.run("2.3.0-uv", check=False, hold=20)
    assert done.returncode == 1
    assert "s after the switch: it ended " in done.stdout + done.stderr
    assert old.version() == "1.4.0"


def test_rolled_back_to_poetry_and_forward_again_it_ends_where_it_began(
    box: Site, lab_name: str
) -> None:
    box.run("1.4.0-poetry")
    box.run("2.0.0-uv", environment={"GREETING": "new"})
    inspect = "docker inspect -f '{{.Image}} {{.Config.Env}}' $(docker ps -q --filter name=testapp)"
    new = box.sh(inspect)
    # From the host alone: no registry is needed for a way back.
    registry = docker.from_env().containers.get(f"uplift-{lab_name}-registry")
    registry.stop(timeout=10)
    try:
        assert box.changed("2.0.0-uv", "--data", "to=poetry") == ["Roll back"]
        assert box.version() == "1.4.0"
        assert "GREETING" not in box.sh(inspect)
        assert box.changed("2.0.0-uv", "--data", "to=uv") == ["Roll back"]
        # What is not here is not had, and nothing changes for it.
        before = box.seen()
        unknown = box.run("9.9.9-uv", check=False)
        assert (unknown.returncode, box.seen()) == (1, before)
        assert "nothing was touched" in unknown.stdout + unknown.stderr
    finally:
        registry.start()
    assert box.version() == "2.0.0"
    assert box.sh(inspect) == new
    assert len(box.containers().splitlines()) == 2


@pytest.mark.parametrize("to", ["1.9.9", "pip", "sha256:0123456789abcdef"])
def test_a_release_that_is_not_there_is_an_error_and_nothing_is_touched(old: Site, to: str) -> None:
    before = old.seen()
    done = old.run("1.4.0-poetry", "--data", f"to={to}", check=False)
    assert done.returncode == 1
    assert f"no good release is meant by {to!r}" in done.stdout + done.stderr
    assert "No host was touched" in done.stdout + done.stderr
    assert old.seen() == before


@pytest.mark.parametrize("where", ["host", "registry"])
def test_an_image_that_another_tool_left_is_taken_over_and_can_be_gone_back_to(
    box: Site, where: str
) -> None:
    image = f"{REPOSITORY}:1.3.0-poetry"
    box.run("2.0.0-uv")
    box.sh("rm -rf /var/lib/uplift/releases/testapp/*")
    box.sh(f"docker pull -q {image}" if where == "host" else f"docker rmi -f {image}")
    assert box.changed("2.0.0-uv", "--data", "to=1.3.0-poetry") == ["Roll back"]
    assert box.version() == "1.3.0"
    records = box.sh("cat /var/lib/uplift/releases/testapp/*/release.json")
    assert json.loads(records)["foreign"] is True


def test_the_command_lists_releases_and_takes_hosts_back(
    box: Site, uplift: Run, tmp_path: Path
) -> None:
    box.run("1.4.0-poetry")
    box.run("2.0.0-uv")
    inventory = box.inventory(tmp_path / "lab.py", box.block("2.0.0-uv"))
    given = {"UPLIFT_LAB": box.lab, **box.environment}
    environment = {**os.environ, **given, "PYINFRA_PROGRESS": "off"}

    found = json.loads(
        uplift("rollback", inventory, "testapp", "--list", "--json", env=environment).stdout
    )
    (host,) = found["hosts"]
    serving = next(one for one in host["releases"] if one["id"] == host["current"])
    assert serving["image"] == f"{REPOSITORY}:2.0.0-uv"
    assert {one["builder"] for one in host["releases"] if one["outcome"] == "good"} >= {
        "uv",
        "poetry",
    }

    words = ("rollback", inventory, "testapp")
    nothing = uplift(*words, "--to", "pip", check=False, env=environment)
    assert (nothing.returncode, box.version()) == (1, "2.0.0")
    assert "no host was touched" in nothing.stderr
    unknown = uplift("rollback", inventory, "testap", check=False, env=environment)
    assert unknown.returncode == 64
    assert "Did you mean 'testapp'?" in unknown.stderr
    looked = uplift(*words, "--to", "poetry", "--dry-run", env=environment)
    assert (looked.returncode, box.version()) == (0, "2.0.0")
    done = uplift(*words, "--to", "poetry", "--json", env=environment)
    assert [one["arrived"] for one in json.loads(done.stdout.splitlines()[-1])["after"]] == [True]
    assert box.version() == "1.4.0"
    left = uplift(*words, "--to", "1.3.0-poetry", "--json", env=environment)
    assert [one["arrived"] for one in json.loads(left.stdout.splitlines()[-1])["after"]] == [True]
    assert box.version() == "1.3.0"
    # A tag like a number: pyinfra would read it as 1.1.
    dotted = uplift(*words, "--to", "1.10", check=False, env=environment)
    assert "no good release is meant by '1.10'" in dotted.stderr


def test_a_reload_or_restart_of_haproxy_keeps_the_slot_that_serves(old: Site) -> None:
    old.run("2.0.0-uv")
    for word in ("reload", "restart"):
        worker = old.worker()
        old.sh(f"systemctl {word} haproxy; sleep 1")
        assert old.worker() != worker
        assert {old.version() for _ in range(10)} == {"2.0.0"}
    old.run("1.4.0-poetry")
    old.sh("systemctl restart haproxy; sleep 1")
    assert {old.version() for _ in range(10)} == {"1.4.0"}


def test_traffic_that_was_moved_by_hand_comes_back_without_a_restart(old: Site) -> None:
    before = old.seen()
    slot = "blue" if "testapp-blue running" in old.containers() else "green"
    old.sh(
        f"echo 'set server testapp/{slot} state maint' | "
        "socat - UNIX-CONNECT:/run/haproxy/admin.sock"
    )
    assert old.changed("1.4.0-poetry") == ["Application"]
    assert old.version() == "1.4.0"
    assert old.seen() == before


def test_own_files_belong_to_the_release_and_come_back_when_they_are_edited(box: Site) -> None:
    box.run("1.4.0-poetry", files={"settings.txt": {"content": "one"}})
    assert box.sh("curl -s http://127.0.0.1/file") == "one"
    box.run("1.4.0-poetry", files={"settings.txt": {"content": "two"}})
    assert box.sh("curl -s http://127.0.0.1/file") == "two"
    box.sh("echo by hand > $(ls -d /etc/uplift/apps/testapp/*/settings.txt | tail -1)")
    box.sh("echo by hand | tee /etc/uplift/apps/testapp/*/settings.txt")
    assert box.changed("1.4.0-poetry", files={"settings.txt": {"content": "two"}}) == [
        "Application"
    ]
    assert box.sh("curl -s http://127.0.0.1/file") == "two"
    box.run("1.4.0-poetry", "--data", "to=previous", files={"settings.txt": {"content": "two"}})
    assert box.sh("curl -s http://127.0.0.1/file") == "one"


def test_the_drain_token_is_in_no_place_where_others_look(old: Site) -> None:
    done = old.run("2.0.0-uv", "-vvv")
    assert old.token not in done.stdout + done.stderr
    assert old.token not in old.sh("docker inspect $(docker ps -aq); journalctl --no-pager")
    world = old.sh(
        f"grep -rlF {shlex.quote(old.token)} /etc /var/lib/uplift 2>/dev/null | "
        "xargs -r stat -c '%a %n'"
    )
    # The positive control: it is found where it belongs, and there is closed to others.
    assert "/etc/uplift/secrets/" in world
    assert all(line[1:3] == "00" for line in world.splitlines()), world


def test_statistics_and_sockets_of_haproxy_are_for_the_host_alone(
    old: Site, hosts: list[dict[str, Any]], ssh: Run
) -> None:
    other = hosts[1]["name"]
    statistics, ask = "127.0.0.1:8404/metrics", "curl -s -o /dev/null -m 10 -w %{http_code}"
    assert old.sh(f"{ask} http://{statistics}") == "200"
    # The application is reached from there, and refuses nobody; the statistics do.
    assert ssh(other, f"{ask} http://{old.name}:80/version").stdout == "200"
    refused = ssh(other, f"{ask} http://{old.name}:8404/metrics", False)
    assert (refused.returncode, refused.stdout) == (7, "000")
    assert old.sh("ss -ltnH 'sport = :8404' | awk '{ print $4 }'") == "127.0.0.1:8404"
    # HAProxy names them so while it makes them.
    names = "ss -lxpH | awk '/haproxy/ && $2 == \"LISTEN\" { print $5 }'"
    found = old.sh(f"{names} | sed 's/[.][0-9]*[.]tmp$//' | sort -u").split()
    assert found == [*SOCKETS]
    for socket, question in SOCKETS.items():
        owner, mode = old.sh(f"stat -c '%U %a' {socket}").split()
        assert owner in ("root", "haproxy")
        # Who may not write may not connect.
        assert int(mode, 8) & 0o022 == 0, (socket, mode)
        spoken = (
            f"echo '{question}' | setpriv --reuid %s --clear-groups socat - UNIX-CONNECT:{socket}"
        )
        assert "pid" in old.sh(spoken % 0).lower()
        assert "Permission denied" in old.sh(f"{spoken % 65534} 2>&1", check=False)


def test_a_configuration_that_was_written_and_not_loaded_is_loaded_by_the_next_run(
    old: Site,
) -> None:
    # As for a job that is killed in between.
    unit = "/run/systemd/system/haproxy.service.d"
    text = "[Service]\\nExecReload=\\nExecReload=/bin/false\\n"
    broken = f"mkdir -p {unit}; printf '{text}' >{unit}/test.conf"
    other = replace(old, haproxy={**old.haproxy, "timeouts": {"client": 77}})
    old.sh(f"{broken}; systemctl daemon-reload")
    try:
        assert other.run("1.4.0-poetry", check=False).returncode == 1
    finally:
        old.sh(f"rm -r {unit}; systemctl daemon-reload")
    worker = old.worker()
    assert other.changed("1.4.0-poetry") == ["HAProxy"]
    assert old.worker() != worker
    assert other.changed("1.4.0-poetry") == []


def test_a_template_that_haproxy_does_not_understand_is_never_loaded(
    old: Site, tmp_path: Path
) -> None:
    file = tmp_path / "haproxy.cfg.j2"
    text = Path("templates/haproxy.cfg.j2").read_text()
    file.write_text(text.replace("\ndefaults\n", "\ndefaults\n    no-such-directive 1\n"))
    shown = "cat /etc/haproxy/haproxy.cfg | sha256sum; ls -A /etc/haproxy"
    before = (old.sh(shown), old.worker(), old.seen())
    wrong = replace(old, haproxy={**old.haproxy, "template": str(file)})
    done = wrong.run("2.0.0-uv", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "haproxy refuses the new configuration; the one before stays" in said
    assert "unknown keyword 'no-such-directive'" in said
    assert (old.sh(shown), old.worker(), old.seen()) == before
    assert old.version() == "1.4.0"
