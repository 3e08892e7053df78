"""Records of applications: which stay, which containers of other tools become one, jobs."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.operations.app_ways import as_it_was
from uplift.spec.app import App
from uplift.spec.app.adopted import Stranger, adoptable, adopted
from uplift.spec.app.jobs import JobsState, run_of
from uplift.spec.app.kept import FAILED, surplus
from uplift.spec.app.plan import plan
from uplift.spec.app.release import (
    DamagedError,
    Origin,
    Release,
    choose,
    new_id,
    parse,
    record,
    restored,
)
from uplift.spec.app.serving import newest
from uplift.spec.app.state import AppState
from uplift.spec.app.state import parse as parse_state
from uplift.spec.app.steps import POINTS, Journal
from uplift.spec.app.steps import parse as parse_journal
from uplift.spec.container.image import Image, Resolved
from uplift.spec.container.plan import Refused
from uplift.spec.container.shape import found_shape, wanted_shape
from uplift.spec.container.state import State
from uplift.spec.errors import SettingsError

REPOSITORY = "r.example/console"
DIGEST = f"sha256:{'a' * 64}"


def app(**fields: Any) -> App:
    """An application behind HAProxy."""
    block = {
        "name": "console",
        "image": f"{REPOSITORY}:2.0.0-uv",
        "port": 8000,
        "slot_ports": [18001, 18002],
    }
    return App.parse({**block, **fields}, path="apps")


def release(number: int, kind: int | None = None, **fields: Any) -> Release:
    """A good release; those of one kind are the same but for their time."""
    digest = f"sha256:{(number if kind is None else kind) % 10}"
    return Release(
        **{
            "id": f"202601{number:02d}T000000Z-{number}",
            "app": {},
            "reference": f"{REPOSITORY}:{number}.0.0-uv",
            "digest": digest,
            "local": f"id-{digest}",
            "outcome": "good",
            **fields,
        }
    )


def ids(*numbers: int) -> set[str]:
    """The ids of releases."""
    return {release(number).id for number in numbers}


def test_the_newest_distinct_good_releases_stay() -> None:
    gone = surplus(release(9), [release(number) for number in range(1, 6)], 3, {}, release(5))
    assert set(gone.releases) == ids(1, 2, 3)
    assert set(gone.images) == {"id-sha256:1", "id-sha256:2", "id-sha256:3"}


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("r:5000/a/console:1", "r:5000/a/console"),
        ("docker.io/library/redis:8", "redis"),
        ("docker.io/a/console@" + DIGEST, "a/console"),
        ("library/redis", "redis"),
    ],
)
def test_images_go_by_their_names_in_the_applications_repositories_alone(
    reference: str, repository: str
) -> None:
    there = [release(1, reference=reference), release(2), release(3)]
    gone = surplus(release(9), there, 2, {}, there[-1])
    assert gone.repositories == tuple(sorted((REPOSITORY, repository)))


def test_the_same_release_six_times_is_one_and_takes_nobodys_place() -> None:
    old = release(1, reference=f"{REPOSITORY}:1.4.0-poetry")
    same = [release(number, kind=2) for number in range(2, 8)]
    gone = surplus(release(8, kind=2), [old, *same], 2, {}, same[-1])
    # What served until now stays by its own record too.
    assert set(gone.releases) == ids(2, 3, 4, 5, 6)
    assert gone.images == ()


def test_the_last_good_one_of_each_builder_stays_and_that_of_another_tool() -> None:
    poetry = release(1, builder="poetry")
    foreign = release(2, foreign=True, reference=f"{REPOSITORY}:old")
    others = [release(number) for number in range(3, 9)]
    gone = surplus(release(9), [poetry, foreign, *others], 2, {}, others[-1])
    assert set(gone.releases) == ids(3, 4, 5, 6, 7)


def test_what_serves_stays_though_a_container_that_was_taken_over_is_newer() -> None:
    there = [release(1), release(2, foreign=True)]
    assert surplus(release(9), there, 1, {}, there[0]).releases == ()


def test_what_serves_stays_though_others_are_newer_than_it() -> None:
    there = [release(number) for number in range(1, 5)]
    gone = surplus(release(9), there, 2, {}, there[0])
    assert set(gone.releases) == ids(2, 3)


@pytest.mark.parametrize(
    ("there", "stamp"),
    [
        ([], "20260105T000000Z"),
        ([release(4)], "20260105T000000Z"),
        # Another controller's clock is ahead, or it was the same second.
        ([release(5), release(1)], "20260105T000001Z"),
        ([release(31, outcome="failed")], "20260131T000001Z"),
        ([release(1, id="by-hand")], "20260105T000000Z"),
    ],
)
def test_a_release_is_younger_than_all_that_are_recorded_whatever_clocks_say(
    there: list[Release], stamp: str
) -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    found = new_id(now, DIGEST, there)
    assert found == f"{stamp}-aaaaaaaaaaaa"
    assert found > max((one.id for one in there if one.id[0] == "2"), default="")


def test_a_few_of_those_that_failed_stay_to_be_looked_at() -> None:
    bad = [release(number, outcome="failed") for number in range(1, 8)]
    gone = surplus(release(9), bad, 2, {}, None)
    assert len(bad) - len(gone.releases) == FAILED
    assert release(7).id not in gone.releases


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12), st.integers(2, 4))
def test_whatever_was_deployed_the_way_back_stays(kinds: list[tuple[int, bool]], keep: int) -> None:
    releases = [
        release(number, kind, outcome="good" if good else "failed")
        for number, (kind, good) in enumerate(kinds, start=1)
    ]
    new = release(20, 0)
    gone = surplus(new, releases, keep, {}, newest(releases))
    left = [one for one in releases if one.id not in gone.releases]
    good = [one for one in releases if one.good and one.key != new.key]
    if good:
        # The newest release that differs can be gone back to, with its image.
        assert good[-1].key in {one.key for one in left}
    assert not {one.local for one in left} & set(gone.images)
    assert new.local not in gone.images


def stranger(**fields: Any) -> Stranger:
    """A container that was made by hand."""
    container = {
        "Id": "c" * 64,
        "Name": "/old-console",
        "Created": "2026-01-02T03:04:05.678Z",
        "Image": f"sha256:{'1' * 64}",
        "Config": {
            "Image": f"{REPOSITORY}:1.3.0-poetry",
            "Env": ["PATH=/bin", "PASSWORD=hunter", "MODE=a b"],
            "Cmd": ["serve"],
            "Entrypoint": None,
            "Labels": {"made.by": "hand"},
            "User": "7",
        },
        "State": {"Running": True, "Status": "running"},
        "HostConfig": {
            "PortBindings": {"8000/tcp": [{"HostIp": "", "HostPort": "80"}]},
            "Memory": 268435456,
        },
        "Mounts": [{"Type": "volume", "Name": "data", "Destination": "/data", "RW": True}],
        "NetworkSettings": {"Networks": {"bridge": {}}},
    }
    image = {
        "Id": f"sha256:{'1' * 64}",
        "RepoTags": [f"{REPOSITORY}:1.3.0-poetry"],
        "RepoDigests": [f"{REPOSITORY}@{DIGEST}"],
        "Config": {"Env": ["PATH=/bin"], "Cmd": ["serve"]},
    }
    return Stranger({**container, **fields}, image)


def test_a_container_of_another_tool_is_a_release_with_its_own_settings() -> None:
    found = adopted(app(environment={"A": "today"}), stranger())
    made = found.app
    assert made.image == f"{REPOSITORY}@{DIGEST}"
    assert set(made.environment) == {"PASSWORD", "MODE"}
    assert {value.reveal() for value in found.values.values()} == {"hunter", "a b"}
    assert (made.user, made.memory) == ("7", "268435456")
    assert made.mounts[0].volume == "data"
    assert found.release.reference == f"{REPOSITORY}:1.3.0-poetry"
    assert found.release.id == "20260102T030405Z-aaaaaaaaaaaa"
    assert any("port *:80 -> 8000/tcp" in line for line in found.release.lost)


def test_the_signal_that_stops_it_is_its_own() -> None:
    config = {**stranger().container["Config"], "StopSignal": "SIGINT"}
    assert adopted(app(), stranger(Config=config)).app.stop_signal == "SIGINT"
    found = adopted(app(), stranger(Config={**config, "StopSignal": "2"}))
    assert (found.app.stop_signal, found.release.lost[-1]) == (None, "StopSignal 2")


def test_what_an_application_has_no_word_for_is_listed_as_lost() -> None:
    config = {**stranger().container["Config"], "Healthcheck": {"Test": ["CMD", "true"]}}
    usual = {"Dns": [], "IpcMode": "private", "ShmSize": 67108864, "PidMode": ""}
    host = {**stranger().container["HostConfig"], **usual}
    assert (
        adopted(app(), stranger()).release.lost
        == adopted(app(), stranger(HostConfig=host)).release.lost
    )
    host |= {"DeviceRequests": [{"Count": -1}], "IpcMode": "host", "ShmSize": 1}
    lost = adopted(app(), stranger(HostConfig=host, Config=config)).release.lost
    assert {"DeviceRequests", "IpcMode", "ShmSize", "Healthcheck"} <= set(lost)


def test_it_comes_back_as_it_was() -> None:
    found = adopted(app(), stranger())
    config = stranger().image["Config"]
    wanted = wanted_shape(found.app.container("blue"), config, found.values)
    real = found_shape(stranger().container, config)
    # Where it is reached, and what is said of it, is no part of it.
    for field in ("ports", "restart", "labels", "logging"):
        del wanted[field], real[field]
    assert wanted == real


def test_what_it_held_in_variables_stands_in_no_record() -> None:
    found = adopted(app(), stranger())
    text = record(found.app, found.origin, found.release.id, found.release.secrets)
    assert "hunter" not in text
    assert set(parse(text, "outcome good").secrets) == {
        "console/adopted/PASSWORD",
        "console/adopted/MODE",
    }


def kept(**fields: Any) -> dict[str, Any]:
    """The record of a release with files of its own, as it is on a host."""
    files = {"a.toml": {"content": "one\n"}, "b.toml": {"content": ""}}
    text = record(app(files=files), Origin(f"{REPOSITORY}:2.0.0-uv", DIGEST, "ada"), "1-a", {})
    value: dict[str, Any] = json.loads(text)
    return {**value, **fields}


def test_a_record_holds_its_own_files_with_contents_and_hashes() -> None:
    value = kept()
    assert value["files"]["a.toml"] == hashlib.sha256(b"one\n").hexdigest()
    assert restored(parse(json.dumps(value), "outcome good")).files["a.toml"].content == "one\n"


def test_that_an_application_was_in_maintenance_is_no_part_of_its_release() -> None:
    origin = Origin(f"{REPOSITORY}:2.0.0-uv", "", "ada")
    found = {record(app(maintenance=word), origin, "1-a", {}) for word in (True, False)}
    assert len(found) == 1
    before = app(maintenance=True)
    assert not as_it_was(app(), before).maintenance
    assert as_it_was(app(maintenance=True), app()).maintenance


@pytest.mark.parametrize(
    "files",
    [
        {"a.toml": {"content": "two\n"}, "b.toml": {"content": ""}},
        {"b.toml": {"content": ""}},
        {"a.toml": {"content": "one\n"}, "b.toml": {"content": ""}, "c": {"content": "more"}},
    ],
)
def test_a_record_whose_kept_files_are_not_what_was_deployed_is_damaged(
    files: dict[str, Any],
) -> None:
    value = kept()
    value["app"]["files"] = files
    with pytest.raises(DamagedError, match=r"release 1-a is damaged: (a\.toml|c) in /var/lib/"):
        restored(parse(json.dumps(value), "outcome good"))


def test_a_record_whose_hashes_are_none_is_no_record() -> None:
    with pytest.raises(ValueError, match="of another format"):
        parse(json.dumps(kept(files=["a.toml"])), "outcome good")


def test_a_record_of_before_hashes_were_kept_can_be_read() -> None:
    value = kept()
    del value["files"]
    found = parse(json.dumps(value), "outcome good")
    assert found.files is None
    assert set(restored(found).files) == {"a.toml", "b.toml"}


def test_it_is_chosen_as_any_other_release() -> None:
    found, refused = adoptable(app(), [stranger()], [release(9)])
    assert refused == []
    every = [release(9), *(one.release for one in found)]
    assert choose("poetry", every, release(9).id, {}) is found[0].release
    assert choose("previous", every, release(9).id, {}) is found[0].release


@pytest.mark.parametrize(
    "other",
    [
        stranger(State={"Running": False, "Status": "exited"}),
        Stranger({**stranger().container, "Config": {"Image": "redis:8"}}, {}),
    ],
)
def test_what_does_not_run_or_is_of_another_repository_is_none(other: Stranger) -> None:
    assert adoptable(app(), [other], []) == ([], [])


def test_one_that_is_recorded_is_not_recorded_again() -> None:
    (one,), _ = adoptable(app(), [stranger()], [])
    assert adoptable(app(), [stranger()], [replace(one.release, outcome="good")]) == ([], [])


def test_what_cannot_be_said_in_settings_is_told() -> None:
    host = {**stranger().container["HostConfig"], "NetworkMode": "host"}
    found, refused = adoptable(app(), [stranger(HostConfig=host)], [])
    assert found == []
    assert "old-console of another tool cannot be taken over" in refused[0]


RESOLVED = Resolved(f"{REPOSITORY}:2.0.0-uv", "registry", DIGEST)


def test_a_job_is_due_until_it_was_done_for_the_image() -> None:
    given = app(jobs=[{"name": "migrate", "command": ["migrate"]}])
    (job,) = given.jobs
    run = run_of(given, job, RESOLVED)
    assert JobsState("", frozenset()).open(given, RESOLVED) == [job]
    assert JobsState("", frozenset({("console", run)})).open(given, RESOLVED) == []
    other = replace(RESOLVED, digest=f"sha256:{'b' * 64}")
    assert run_of(given, job, other) != run


def test_a_job_has_what_the_application_has_and_no_port() -> None:
    block = {"name": "migrate", "command": ["migrate"], "environment": {"B": "2"}}
    given = app(environment={"A": "1"}, files={"a": {"content": "x"}}, jobs=[block])
    made = given.job(given.jobs[0])
    assert (made.name, made.ports, made.restart) == ("console-job-migrate", (), "no")
    assert made.environment == {"A": "1", "B": "2"}
    assert made.mounts[-1].source == given.folder


def test_two_jobs_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="jobs: each name once"):
        app(jobs=[{"name": "a"}, {"name": "a"}])


def test_a_journal_tells_the_release_its_slot_and_how_far_it_came() -> None:
    found = parse_journal("release 1-a green\nrecord before\nrecord after\nname before\n")
    assert found == Journal("1-a", "green", "name before")
    assert parse_journal("") == Journal()
    assert "name before" in POINTS
    assert "close after" not in POINTS


def container(slot: str, running: bool) -> dict[str, Any]:
    """A slot's container as `docker inspect` shows it."""
    wanted = app().container(slot)
    return {
        "Id": slot,
        "Name": f"/{wanted.name}",
        "Image": DIGEST,
        "Config": {"Image": wanted.image, "Labels": {}, "StopTimeout": 30},
        "State": {"Status": "running" if running else "exited", "Running": running},
        "HostConfig": {
            "RestartPolicy": {"Name": "unless-stopped"},
            "PortBindings": {
                "8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(wanted.ports[0].host)}]
            },
        },
        "Mounts": [],
        "NetworkSettings": {"Networks": {"bridge": {}}},
    }


def host(*containers: dict[str, Any]) -> State:
    """A host with these containers."""
    return State(
        docker=True,
        containers={one["Name"][1:]: one for one in containers},
        images={DIGEST: Image(DIGEST, frozenset({DIGEST}), {})},
        resolved={app().image: RESOLVED},
    )


KEY = b"k" * 32


@pytest.mark.parametrize(
    ("other", "before"), [((), ""), ((container("green", running=True),), "green")]
)
def test_an_interrupted_switch_is_brought_to_its_end_where_its_release_serves(
    other: tuple[dict[str, Any], ...], before: str
) -> None:
    found = AppState(
        active={"console": "blue"},
        running={"console": {"blue": "ready", "green": "maint"}},
        journals={"console": Journal("1", "blue", "stop after")},
    )
    todo = plan(app(), host(container("blue", running=True), *other), found, {}, KEY)
    assert (todo.action, todo.slot, todo.before) == ("tidy", "blue", before)
    assert todo.why[0] == "a switch was interrupted at 'stop after'"


def test_a_container_that_is_there_already_has_to_show_that_it_is_ready() -> None:
    found = AppState(active={}, running={})
    todo = plan(app(), host(container("blue", running=True)), found, {}, KEY)
    assert (todo.action, todo.prove) == ("switch", True)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (AppState(listening=frozenset({18001})), "port 18001 of slot blue is taken"),
        (AppState(room=1000), "disk: 0 MB are free where images are, 256 MB"),
    ],
)
def test_a_host_without_port_or_room_is_refused_before_anything_is_touched(
    found: AppState, reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        plan(app(), host(), found, {}, KEY)


def test_ports_of_the_loopback_address_room_and_strangers_are_read() -> None:
    packed = base64.b64encode(json.dumps([stranger().container]).encode()).decode()
    lines = [
        "busy",
        "room 4096",
        "listening 0100007F:4651",
        "listening 0500000A:4652",
        "listening 00000000000000000000000000000000:0050",
        f"strangers {packed}",
        "end",
    ]
    found = parse_state(lines)
    assert found.listening == {18001, 80}
    assert found.room == 4096
    assert [one.name for one in found.strangers] == ["old-console"]
    assert "hunter" not in repr(found)
