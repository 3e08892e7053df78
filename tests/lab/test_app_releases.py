"""Jobs, schema, records and containers of other tools on a real host."""

from __future__ import annotations

import json
import os
import secrets as random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.app_box import REPOSITORY, Run, Site
from tests.lab.prober import Prober

pytest_plugins = ["tests.lab.app_box"]

DATA = "uplift-test-data"
NETWORKS = ("uplift-test-a", "uplift-test-b")
MOUNTS = [{"volume": DATA, "target": "/data"}]
SERVER = ["python3", "/server.py"]
RECORDS = "/var/lib/uplift/releases/testapp"


def jobs(how: str = "work") -> dict[str, Any]:
    """Settings with a migration, which writes a line to a volume."""
    return {"mounts": MOUNTS, "jobs": [{"name": "migrate", "command": [*SERVER, "job", how]}]}


def lines(box: Site) -> list[str]:
    """What the migrations wrote."""
    return box.sh(f"cat /var/lib/docker/volumes/{DATA}/_data/jobs 2>/dev/null || :").split()


@pytest.fixture
def clean(box: Site) -> Iterator[Site]:
    """A host on which the application never was."""
    box.clean()
    yield box
    box.clean()
    networks = " ".join(NETWORKS)
    box.sh(
        f"docker rm -f old-console; docker volume rm {DATA}; docker network rm {networks}",
        check=False,
    )


def test_a_migration_runs_once_before_the_switch_and_its_output_is_kept(clean: Site) -> None:
    clean.run("1.4.0-poetry", **jobs())
    assert clean.changed("1.4.0-poetry", **jobs()) == []
    assert clean.changed("2.0.0-uv", **jobs()) == ["Jobs", "Application"]
    assert lines(clean) == ["1.4.0", "2.0.0"]
    assert "job 2.0.0 work" in clean.sh("cat /var/lib/uplift/apps/testapp.jobs/migrate-*/log")
    assert "job" not in clean.containers()


@pytest.mark.slow
def test_a_rollback_runs_no_job_and_what_was_done_for_an_image_is_done(clean: Site) -> None:
    clean.run("1.4.0-poetry", **jobs())
    clean.run("2.0.0-uv", **jobs())
    assert clean.changed("2.0.0-uv", "--data", "to=previous") == ["Roll back"]
    assert clean.changed("2.0.0-uv", **jobs()) == ["Application"]
    assert lines(clean) == ["1.4.0", "2.0.0"]


@pytest.mark.slow
def test_a_secret_that_changed_comes_back_with_its_release(clean: Site) -> None:
    shown = "cat /etc/uplift/secrets/testapp-*/drain-token"
    old, new = clean.token, random.token_urlsafe(24)
    clean.run("1.4.0-poetry")
    try:
        clean.token = new
        clean.run("2.0.0-uv")
        clean.run("2.0.0-uv", "--data", "to=poetry")
        running = "docker exec $(docker ps -q --filter name=testapp) cat /run/secrets/drain-token"
        assert clean.sh(running) == old
        assert new in clean.sh(shown)
        # What is drained now is told with the token that it knows.
        clean.run("2.0.0-uv")
        assert clean.sh(running) == new
        logs = clean.sh("docker logs testapp-blue 2>&1; docker logs testapp-green 2>&1")
        assert "by a stranger" not in logs
    finally:
        clean.token = old


@pytest.mark.slow
def test_when_a_migration_fails_nothing_is_switched_and_its_output_is_shown(clean: Site) -> None:
    clean.run("1.4.0-poetry", **jobs())
    before = clean.seen()
    done = clean.run("2.0.0-uv", **jobs("fail"), check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "FAILED with exit code 4; nothing is switched" in said
    assert "  | job 2.0.0 fail" in said
    assert clean.version() == "1.4.0"
    assert clean.seen() == before
    # It is tried again.
    assert clean.run("2.0.0-uv", **jobs("fail"), check=False).returncode == 1
    assert lines(clean) == ["1.4.0", "2.0.0", "2.0.0"]


@pytest.mark.slow
def test_a_migration_whose_run_was_killed_is_gone_on_with_and_runs_once(clean: Site) -> None:
    clean.run("1.4.0-poetry", **jobs())
    killer = (
        "systemd-run --quiet --collect sh -c 'until docker ps --format {{.Names}} | "
        "grep -qx testapp-job-migrate; do sleep 0.2; done; sleep 2; "
        "systemctl kill --signal=KILL uplift-jobs-*'"
    )
    clean.sh(killer)
    done = clean.run("2.0.0-uv", **jobs("work-25"), check=False)
    assert "ended without a result" in done.stdout + done.stderr
    assert clean.version() == "1.4.0"
    clean.run("2.0.0-uv", **jobs("work-25"))
    assert clean.version() == "2.0.0"
    assert lines(clean) == ["1.4.0", "2.0.0"]


@pytest.mark.slow
def test_a_schema_that_is_ahead_keeps_a_release_from_coming_back(clean: Site) -> None:
    asked = {
        "mounts": MOUNTS,
        "schema_check": {"command": [*SERVER, "schema"]},
        "environment": {"TEXT": "one=1\ntwo 'of' \"three\""},
        "networks": [{"name": NETWORKS[0]}, {"name": NETWORKS[1]}],
    }
    clean.run("1.4.0-poetry", **asked)
    clean.run("2.0.0-uv", **asked)
    clean.sh(f"touch /var/lib/docker/volumes/{DATA}/_data/ahead")
    before = clean.seen()
    done = clean.run("2.0.0-uv", "--data", "to=poetry", check=False, **asked)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "lab-1: testapp: the database's schema is not one for" in said
    assert "  | schema is ahead of 1.4.0-poetry" in said
    # It sees what the application sees, of several lines too, in each of its networks.
    assert f"  | networks 2 text {asked['environment']['TEXT']!a}" in said
    assert "  | token ********" in said
    assert clean.token not in said
    assert "No host was touched" in said
    assert clean.seen() == before
    # It is asked when what serves has ended, too.
    clean.sh("docker stop $(docker ps -q --filter label=io.uplift.subject=testapp)")
    assert clean.run("2.0.0-uv", "--data", "to=poetry", check=False, **asked).returncode == 1
    told = ("--data", "to=poetry", "--data", "schema=ignore")
    clean.run("2.0.0-uv", *told, **asked)
    assert clean.version() == "1.4.0"
    clean.sh(f"rm /var/lib/docker/volumes/{DATA}/_data/ahead")
    clean.run("2.0.0-uv", "--data", "to=uv", **asked)
    assert clean.version() == "2.0.0"


@pytest.mark.slow
def test_a_port_that_is_taken_is_found_before_anything_is_touched(clean: Site) -> None:
    clean.run("1.4.0-poetry")
    clean.run("2.0.0-uv")
    free = 18001 if "testapp-blue exited" in clean.containers() else 18002
    listen = f"socat TCP-LISTEN:{free},bind=127.0.0.1,fork /dev/null"
    clean.sh(f"systemd-run --quiet --collect --unit=uplift-test-port {listen}")
    time.sleep(1)
    before = clean.seen()
    try:
        done = clean.run("2.0.0-uv", "--data", "to=poetry", check=False)
    finally:
        clean.sh("systemctl stop uplift-test-port")
    assert done.returncode == 1
    assert f"listens on 127.0.0.1:{free}/tcp (socat)" in done.stdout + done.stderr
    assert "No host was touched" in done.stdout + done.stderr
    assert clean.seen() == before


@pytest.mark.slow
def test_records_and_images_are_pruned_and_the_way_back_never_is(clean: Site) -> None:
    keep = {"keep": {"images": 2}}
    clean.run("1.4.0-poetry", **keep)
    for number in range(6):
        clean.run("2.0.0-uv", environment={"NUMBER": str(number)}, **keep)
    # Two distinct ones, and the last that Poetry built.
    assert clean.outcomes() == ["good"] * 3
    assert clean.changed("2.0.0-uv", environment={"NUMBER": "5"}, **keep) == []
    last = {"environment": {"NUMBER": "5"}, **keep}
    for _ in range(2):
        clean.run("2.0.0-uv", "--data", "to=poetry", **last)
        assert clean.version() == "1.4.0"
        clean.run("2.0.0-uv", "--data", "to=uv", **last)
        assert clean.version() == "2.0.0"
    env = "docker inspect -f '{{.Config.Env}}' $(docker ps -q --filter name=testapp)"
    assert "NUMBER=5" in clean.sh(env)
    assert clean.outcomes() == ["good"] * 2


@pytest.mark.slow
def test_an_image_that_has_a_name_elsewhere_only_loses_those_of_the_application(
    clean: Site,
) -> None:
    keep = {"keep": {"images": 2}}
    old, other = f"{REPOSITORY}:1.3.0-poetry", "somebody-elses/tool:1"
    clean.run("1.3.0-poetry", **keep)
    id = clean.sh(f"docker image inspect -f '{{{{.Id}}}}' {old}")
    clean.sh(f"docker tag {old} {other}")
    clean.run("1.4.0-poetry", **keep)
    # It is needed no more, and neither slot has it.
    clean.run("2.0.0-uv", **keep)
    try:
        names = clean.sh(f"docker image inspect -f '{{{{.RepoTags}}}} {{{{.RepoDigests}}}}' {id}")
        assert names == f"[{other}] []"
    finally:
        clean.sh(f"docker rmi {other}")
    # The last name was somebody else's.
    assert clean.sh(f"docker images -q --no-trunc | grep {id} || :") == ""


@pytest.mark.slow
def test_a_record_whose_kept_file_was_damaged_is_refused_before_anything_is_done(
    clean: Site, uplift: Run, tmp_path: Path
) -> None:
    clean.run("1.4.0-poetry", files={"settings.txt": {"content": "first words"}})
    own = {"files": {"settings.txt": {"content": "second words"}}}
    clean.run("2.0.0-uv", **own)
    (file,) = clean.sh(f"grep -l 'first words' {RECORDS}/*/release.json").split()
    clean.sh(f"sed -i 's/first words/other words/' {file}")
    before = clean.seen()
    done = clean.run("2.0.0-uv", "--data", "to=poetry", check=False, **own)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"lab-1: testapp: the record of release {Path(file).parent.name} is damaged" in said
    assert f"settings.txt in {file} is not what was deployed" in said
    assert "No host was touched" in said
    inventory = clean.inventory(tmp_path / "lab.py", clean.block("2.0.0-uv", **own))
    given = {**os.environ, "UPLIFT_LAB": clean.lab, **clean.environment}
    words = ("rollback", inventory, "testapp", "--to", "poetry")
    asked = uplift(*words, check=False, env=given)
    assert asked.returncode == 1
    assert "settings.txt in " in asked.stdout + asked.stderr
    assert (clean.version(), clean.seen()) == ("2.0.0", before)
    # As it was it can be gone back to.
    clean.sh(f"sed -i 's/other words/first words/' {file}")
    clean.run("2.0.0-uv", "--data", "to=poetry", **own)
    assert clean.sh("curl -s http://127.0.0.1/file") == "first words"


@pytest.mark.slow
def test_a_container_that_was_made_by_hand_is_taken_over_and_comes_back_as_it_was(
    clean: Site,
) -> None:
    image = f"{REPOSITORY}:1.3.0-poetry"
    word = "needle-of-a-stranger"
    clean.sh(
        f"docker run -d --name old-console --label made.by=hand -e GREETING={word} -e 'MODE=a b' "
        f"-v {DATA}:/data -p 127.0.0.1:8000:8000 {image}"
    )
    done = clean.run("2.0.0-uv")
    assert "container old-console of another tool still runs" in done.stdout + done.stderr
    clean.sh("docker rm -f old-console")
    records = [
        json.loads(text)
        for text in clean.sh(f"for f in {RECORDS}/*/release.json; do tr -d '\\n' <$f; echo; done")
        .splitlines()
    ]  # fmt: skip
    (old,) = [one for one in records if one["foreign"]]
    assert old["reference"] == image
    assert any("port 127.0.0.1:8000" in line for line in old["lost"])
    assert word not in json.dumps(records)
    with Prober(clean.address, clean.port) as prober:
        back = clean.run("2.0.0-uv", "--data", "to=poetry", "-vvv")
    assert prober.failures == []
    assert word not in back.stdout + back.stderr
    assert clean.version() == "1.3.0"
    found = json.loads(clean.sh("docker inspect $(docker ps -q --filter name=testapp)"))[0]
    assert {f"GREETING={word}", "MODE=a b"} <= set(found["Config"]["Env"])
    assert [(one["Name"], one["Destination"]) for one in found["Mounts"]] == [(DATA, "/data")]
    # And forward, and back again, from the records alone.
    clean.run("2.0.0-uv", "--data", "to=uv")
    clean.run("2.0.0-uv", "--data", "to=1.3.0-poetry")
    assert clean.version() == "1.3.0"


TWINS = """
from pathlib import Path as _Path
_lab = {{}}
exec(_Path("inventories/lab.py").read_text(), _lab)
_name, _data = _lab["services"][0]
# One machine by two names: the second runs the jobs.
_data = {{**_data, "haproxy": {haproxy!r}, "apps": [{app!r}]}}
tested = [(_name, _data), ("twin", {{"ssh_hostname": _name, **_data}})]
"""


@pytest.mark.slow
def test_a_host_asks_the_one_that_runs_the_jobs_also_when_the_limit_leaves_it_out(
    clean: Site,
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clean.run("1.4.0-poetry", mounts=MOUNTS)
    block = clean.block("2.0.0-uv", jobs_on="twin", **jobs())
    file = tmp_path / "twins.py"
    file.write_text(TWINS.format(haproxy=clean.haproxy, app=block))
    for name, value in clean.environment.items():
        monkeypatch.setitem(environment, name, value)
    call = (str(file), "deploys/app.py", "-y", "--limit")
    done = clean.pyinfra(*call, clean.name, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "job migrate has not been done on twin for this image; nothing was switched" in said
    assert (clean.version(), lines(clean)) == ("1.4.0", [])
    clean.pyinfra(*call, "twin")
    assert (clean.version(), lines(clean)) == ("2.0.0", ["2.0.0"])
    # What is done is known from there too.
    clean.sh("docker rm -f testapp-blue testapp-green")
    clean.pyinfra(*call, clean.name)
    assert (clean.version(), lines(clean)) == ("2.0.0", ["2.0.0"])
