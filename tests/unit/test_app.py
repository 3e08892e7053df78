"""Applications: settings, what is done about them, and which release a word means."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.spec.app import App
from uplift.spec.app.foreign import HostImage, at_registry, foreign, newest_tag
from uplift.spec.app.own_files import differences
from uplift.spec.app.plan import plan
from uplift.spec.app.release import (
    NotFoundError,
    Origin,
    Release,
    choose,
    parse,
    record,
    restored,
    with_files,
)
from uplift.spec.app.serving import SlotContainer
from uplift.spec.app.state import AppState
from uplift.spec.app.state import parse as parse_state
from uplift.spec.app.steps import Journal
from uplift.spec.app.together import trouble
from uplift.spec.container.image import Image, Resolved
from uplift.spec.container.plan import Refused
from uplift.spec.container.state import State
from uplift.spec.errors import SettingsError
from uplift.spec.haproxy import Haproxy
from uplift.spec.haproxy.backend import Backend

DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
ID = f"sha256:{'1' * 64}"


def app(**fields: Any) -> App:
    """An application behind HAProxy."""
    block = {
        "name": "console",
        "image": "r.example/console:2.0.0-uv",
        "port": 8000,
        "slot_ports": [18001, 18002],
        "routes": [{}],
    }
    return App.parse({**block, **fields}, path="apps")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"port": None}, "port: that the application listens on"),
        ({"slot_ports": [18001, 18001]}, "two different ports"),
        ({"ports": [{"container": 1}]}, "ports: only with proxy = 'none'"),
        ({"proxy": "none"}, "port: only with proxy = 'haproxy'"),
        ({"networks": [{"name": "host"}]}, "two slots cannot share the host's own"),
        ({"environment": {"A": {"secret": "a/b"}}}, "A is a secret, and variables are shown"),
        ({"files": {"a": {}}}, "either content"),
        ({"imgae": "x"}, "did you mean 'image'"),
        (
            {"mounts": [{"volume": "vv", "target": "/etc/app"}], "files": {"a": {"content": ""}}},
            "two mounts at '/etc/app'",
        ),
    ],
)
def test_wrong_settings_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        app(**fields)


def test_it_is_ready_when_its_readyz_says_so_unless_settings_say_otherwise() -> None:
    http = app().ready.http
    assert http is not None
    assert (http.port, http.path) == (8000, "/readyz")
    assert app(ready={"tcp": 8000}).ready.http is None


def test_each_slot_has_a_container_and_a_port_of_the_hosts_loopback() -> None:
    blue, green = (app().container(slot) for slot in ("blue", "green"))
    assert (blue.name, green.name) == ("console-blue", "console-green")
    assert [(one.address, one.host) for one in (*blue.ports, *green.ports)] == [
        ("127.0.0.1", 18001),
        ("127.0.0.1", 18002),
    ]


def test_other_contents_of_its_files_are_another_folder() -> None:
    one, two = (app(files={"a": {"content": text}}) for text in ("1", "2"))
    assert one.folder != two.folder
    assert one.container("blue").mounts[0].source == one.folder


def worker(name: str) -> dict[str, Any]:
    """What makes the application one without a proxy."""
    return {"name": name, "proxy": "none", "port": None, "slot_ports": [0, 0], "routes": []}


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        ([{}, {}], "'console' stands here twice"),
        ([{}, {"name": "bb", "routes": []}], "port 18001 is used twice"),
        ([{}, {"name": "bb", "slot_ports": [1, 2]}], "route any host/"),
        ([{"slot_ports": [80, 81]}], "port 80 is used twice"),
        ([{}, worker("console-green")], "'console-green' is a container of two"),
        ([{"jobs": [{"name": "a"}]}, worker("console-job-a")], "'console-job-a' is a container"),
    ],
)
def test_applications_that_get_in_each_others_way_are_refused(
    blocks: list[dict[str, Any]], reason: str
) -> None:
    assert reason in trouble([app(**block) for block in blocks], Haproxy())


def test_an_application_behind_haproxy_needs_one() -> None:
    assert "add a block haproxy" in trouble([app()], None)
    assert trouble([app()], Haproxy()) == ""


def container(slot: str, digest: str = DIGEST, **state: Any) -> dict[str, Any]:
    """A slot's container as `docker inspect` shows it."""
    wanted = app().container(slot)
    port = wanted.ports[0]
    return {
        "Id": slot,
        "Name": f"/{wanted.name}",
        "Image": digest,
        "Config": {
            "Image": wanted.image,
            "Labels": {},
            "Env": [],
            "Cmd": None,
            "Entrypoint": None,
            "StopTimeout": 30,
        },
        "State": {"Status": "running", "Running": True, **state},
        "HostConfig": {
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
            "PortBindings": {
                "8000/tcp": [{"HostIp": port.address, "HostPort": str(port.host)}],
            },
        },
        "Mounts": [],
        "NetworkSettings": {"Networks": {"bridge": {}}},
    }


def host(*containers: dict[str, Any]) -> State:
    """A host with these containers, and the image in its registry."""
    images = {one: Image(one, frozenset({one}), {}) for one in (DIGEST, OTHER)}
    return State(
        docker=True,
        containers={one["Name"][1:]: one for one in containers},
        images=images,
        resolved={app().image: Resolved(app().image, "registry", DIGEST)},
    )


def traffic(active: str, **running: str) -> AppState:
    """HAProxy that names a slot, and does something with each."""
    given = {"console": running} if running else {}
    return AppState(active={"console": active} if active else {}, running=given)


KEY = b"k" * 32
TEXT = hashlib.sha256(b"text").hexdigest()


def test_what_serves_and_is_as_wanted_stays() -> None:
    todo = plan(app(), host(container("green")), traffic("green", green="ready"), {}, KEY)
    assert todo.action == "nothing"


def test_another_image_is_started_in_the_free_slot() -> None:
    found = host(container("green", OTHER))
    todo = plan(app(), found, traffic("green", green="ready"), {}, KEY)
    assert (todo.action, todo.slot, todo.before) == ("switch", "blue", "green")
    assert todo.container.action == "create"


def test_the_first_release_has_nobody_before_it() -> None:
    todo = plan(app(), host(), traffic(""), {}, KEY)
    assert (todo.action, todo.slot, todo.before) == ("switch", "blue", "")


def test_a_switch_that_was_cut_off_before_the_traffic_moved_goes_on() -> None:
    found = host(container("green", OTHER), container("blue"))
    todo = plan(app(), found, traffic("green", green="ready", blue="maint"), {}, KEY)
    assert (todo.action, todo.slot) == ("switch", "blue")
    assert todo.container.action == "nothing"


def test_a_switch_that_was_cut_off_after_the_traffic_moved_is_brought_to_its_end() -> None:
    found = host(container("green", OTHER), container("blue"))
    todo = plan(app(), found, traffic("blue", blue="ready", green="drain"), {}, KEY)
    assert (todo.action, todo.slot, todo.before) == ("tidy", "blue", "green")


def test_the_way_back_is_no_leftover() -> None:
    stopped = container("green", OTHER, Status="exited", Running=False)
    found = host(stopped, container("blue"))
    assert plan(app(), found, traffic("blue", blue="ready"), {}, KEY).action == "nothing"


@pytest.mark.parametrize(
    "running", [{"blue": "maint", "green": "ready"}, {"blue": "ready", "green": "ready"}]
)
def test_traffic_that_differs_from_the_file_is_mended_without_a_container(
    running: dict[str, str],
) -> None:
    todo = plan(app(), host(container("blue")), traffic("blue", **running), {}, KEY)
    assert (todo.action, todo.container.action) == ("mend", "nothing")


def test_a_slot_that_was_stopped_by_hand_is_started_where_it_is() -> None:
    found = host(container("blue", Status="exited", Running=False))
    todo = plan(app(), found, traffic("blue", blue="ready"), {}, KEY)
    assert (todo.action, todo.slot, todo.container.start) == ("mend", "blue", True)


def test_a_check_of_haproxy_that_is_not_the_settings_is_mended_without_a_container() -> None:
    asked = replace(Backend.of(app()), path="/up")
    found = replace(traffic("blue", blue="ready"), backends={"console": asked})
    todo = plan(app(), host(container("blue")), found, {}, KEY)
    assert (todo.action, todo.container.action, todo.backend) == ("mend", "nothing", asked)
    assert "GET /up" in todo.why[0]


def test_a_switch_knows_how_haproxy_asks_the_one_that_serves() -> None:
    asked = replace(Backend.of(app()), path="/up")
    state = host(container("green", OTHER))
    for backend, known in ((asked, asked), (Backend.of(app()), None)):
        found = replace(traffic("green", green="ready"), backends={"console": backend})
        todo = plan(app(), state, found, {}, KEY)
        assert (todo.action, todo.backend) == ("switch", known)


def alone(**fields: Any) -> App:
    """An application without a proxy."""
    return app(**worker("console"), **fields)


def lonely(digest: str = DIGEST, **state: Any) -> dict[str, Any]:
    """Its one container."""
    found = container("blue", digest, **state)
    return {**found, "Name": "/console", "HostConfig": {**found["HostConfig"], "PortBindings": {}}}


@pytest.mark.parametrize(
    ("there", "action", "on_container"),
    [
        ([], "replace", "create"),
        ([lonely()], "nothing", "nothing"),
        ([lonely(OTHER)], "replace", "replace"),
        ([lonely(Status="exited", Running=False)], "mend", "mend"),
    ],
)
def test_without_a_proxy_there_is_one_container_which_is_replaced_in_its_place(
    there: list[dict[str, Any]], action: str, on_container: str
) -> None:
    todo = plan(alone(), host(*there), AppState(), {}, KEY)
    assert (todo.action, todo.container.action) == (action, on_container)
    # Nobody serves beside it, and nothing is proved beforehand.
    assert (todo.slot, todo.before, todo.prove) == ("blue", "", False)


def test_without_a_proxy_a_stopped_container_is_started_and_not_made_anew() -> None:
    found = host(lonely(Status="exited", Running=False))
    assert plan(alone(), found, AppState(), {}, KEY).container.start


@pytest.mark.parametrize(
    ("there", "named"),
    [({"a": "0"}, "a"), ({}, "a"), ({"a": TEXT, "b": "0"}, "b"), ({"b": "0"}, "a, b")],
)
def test_without_a_proxy_own_files_that_were_edited_are_written_again_in_place(
    there: dict[str, str], named: str
) -> None:
    it = alone(files={"a": {"content": "text"}})
    own = {"Type": "bind", "Source": it.folder, "Destination": "/etc/app", "RW": False}
    found = host({**lonely(), "Mounts": [own]})
    todo = plan(it, found, AppState(files={it.folder: there}), {}, KEY)
    assert (todo.action, todo.files, todo.why) == ("mend", True, (f"files restored: {named}",))
    assert plan(it, found, AppState(files={it.folder: {"a": TEXT}}), {}, KEY).action == "nothing"


def test_without_a_proxy_a_change_that_was_interrupted_is_brought_to_its_end() -> None:
    journals = {"console": Journal("1", "blue", "record after")}
    todo = plan(alone(), host(lonely()), AppState(journals=journals), {}, KEY)
    assert (todo.action, todo.container.action) == ("tidy", "nothing")
    assert todo.why == ("a switch was interrupted at 'record after'",)


def test_without_a_proxy_what_haproxy_says_is_no_matter() -> None:
    seen = traffic("green", green="ready", blue="maint")
    assert plan(alone(), host(lonely()), seen, {}, KEY).action == "nothing"


def test_while_another_change_runs_nothing_is_done() -> None:
    with pytest.raises(Refused, match="a change is still running as app-1"):
        plan(app(), host(), AppState(busy="app-1"), {}, KEY)


def release(number: int, **fields: Any) -> Release:
    """A recorded release, good unless something else is said."""
    given = {
        "id": f"2026010{number}T000000Z-{number}",
        "app": {},
        "reference": f"console:{number}.0.0-uv",
        "digest": f"sha256:{str(number) * 64}",
        "outcome": "good",
    }
    return Release(**{**given, **fields})


RELEASES = [
    release(1, reference="console:1.0.0-poetry"),
    release(2, builder="poetry", reference="console:two"),
    release(3, outcome="failed", builder="poetry"),
    release(4),
]


@pytest.mark.parametrize(
    ("to", "number"),
    [
        ("previous", 2),
        ("poetry", 2),
        ("uv", 4),
        ("1.0.0-poetry", 1),
        (f"sha256:{'1' * 64}", 1),
        ("sha256:111111111111", 1),
        ("20260101T000000Z-1", 1),
    ],
)
def test_a_word_means_the_newest_good_release_that_fits(to: str, number: int) -> None:
    assert choose(to, RELEASES, RELEASES[-1].id, {}).id == release(number).id


def test_previous_is_another_release_than_the_one_that_serves_however_often_that_was_deployed() -> (
    None
):
    again = release(5, digest=release(4).digest)
    assert choose("previous", [*RELEASES, again], again.id, {}).id == release(2).id


def serves(*releases: Release, **fields: Any) -> str:
    """The release that a host with these records serves."""
    found = AppState(releases={"console": releases}, **fields).current("console")
    return found.id if found else ""


def test_where_no_container_says_more_the_newest_good_release_serves() -> None:
    assert serves(*RELEASES, release(5, outcome="failed")) == release(4).id
    assert serves() == ""


def made(number: int, **fields: Any) -> Release:
    """A release whose record tells its image and the container that it served with."""
    return release(number, **{"local": f"image-{number}", "container": f"box-{number}", **fields})


def slot(number: int, image: int | None = None, label: int | None = None) -> SlotContainer:
    """A slot's container, with the image and the label of a release."""
    named = "" if label == 0 else release(label or number).id
    return SlotContainer(f"box-{number}", f"image-{image or number}", named)


TWO = (made(1), made(2))


@pytest.mark.parametrize(
    ("releases", "container", "number"),
    [
        (TWO, slot(1), 1),
        (TWO, slot(2), 2),
        # By its label, where the container was made anew, or the record is of an older version.
        (TWO, slot(7, image=1, label=1), 1),
        ((release(1), release(2)), slot(1), 1),
        # Of several that it served with, and of those that went back to its own, the newest.
        ((*TWO, made(3, local="image-1", container="box-1")), slot(1), 3),
        ((*TWO, made(3, local="image-1", container="", of=release(1).id)), slot(8, 1, 1), 3),
        # The record that its label names is gone.
        (TWO, slot(7, image=1, label=6), 1),
        (TWO, slot(7, image=1, label=0), 1),
        # Its image is another than that of the record which its label names.
        (TWO, slot(7, image=2, label=1), 2),
        # Nothing is known of its image.
        (TWO, slot(7, image=9, label=1), 2),
        # It never became good.
        ((*TWO, made(3, outcome="failed")), slot(3), 2),
    ],
)
def test_the_release_of_the_container_in_the_active_slot_serves_however_old_it_is(
    releases: tuple[Release, ...], container: SlotContainer, number: int
) -> None:
    given = {"active": {"console": "blue"}, "containers": {"console-blue": container}}
    assert serves(*releases, **given) == release(number).id


def test_the_other_slots_container_does_not_say_what_serves_and_without_a_proxy_there_is_one() -> (
    None
):
    both = {"console-blue": slot(1), "console-green": slot(2)}
    assert serves(*TWO, active={"console": "green"}, containers=both) == release(2).id
    found = AppState(releases={"console": TWO}, containers=both)
    assert found.in_slot("console", "blue") == TWO[0]
    assert serves(*TWO, containers={"console": slot(1)}) == release(1).id


def test_containers_of_slots_are_read_with_and_without_a_label() -> None:
    lines = ["slot console-blue box-1 image-1 20260101T000000Z-1", "slot console box-2 image-2 "]
    found = parse_state([*lines, "busy", "end"])
    assert found.containers == {
        "console-blue": slot(1),
        "console": SlotContainer("box-2", "image-2"),
    }


def test_a_container_that_was_only_taken_over_serves_nothing_however_new_it_is() -> None:
    made = release(5, foreign=True)
    assert serves(*RELEASES, made) == release(4).id
    assert serves(*RELEASES, replace(made, of="20251231T000000Z-0")) == made.id


def test_of_an_interrupted_switch_the_new_release_serves_once_haproxy_names_its_slot() -> None:
    cut = release(5, outcome="started")
    journals = {"console": Journal(cut.id, "green", "hold before")}
    assert serves(*RELEASES, cut, journals=journals, active={"console": "green"}) == cut.id
    assert serves(*RELEASES, cut, journals=journals, active={"console": "blue"}) == release(4).id
    # What it took over is the way back, not the one before that.
    assert choose("previous", [*RELEASES, cut], cut.id, {}).id == release(4).id


def test_a_release_is_known_by_the_record_that_it_went_back_to() -> None:
    back = release(5, of="20251231T000000Z-0")
    assert choose("20251231T000000Z-0", [*RELEASES, back], back.id, {}) is back


@pytest.mark.parametrize("to", ["3.0.0-uv", "pip", "sha256:1", "nonsense"])
def test_a_release_that_is_not_there_or_was_not_good_is_an_error(to: str) -> None:
    with pytest.raises(NotFoundError, match="there are: 2026"):
        choose(to, RELEASES, RELEASES[-1].id, {})


def test_tags_of_poetry_may_be_called_otherwise() -> None:
    found = choose("poetry", [release(1, reference="c:old-1")], "", {"poetry": "old-*"})
    assert found.id == release(1).id


@given(st.dictionaries(st.sampled_from("abc"), st.text(max_size=30)))
def test_a_release_comes_back_with_the_settings_that_it_had(files: dict[str, str]) -> None:
    given = app(
        environment={"A": "b"},
        files={name: {"content": text} for name, text in files.items()},
        secrets={"token": {"secret": "console/token"}},
    )
    text = record(given, Origin(given.image, DIGEST, "me"), "1", {"console/token": "0"})
    read = parse(text, "outcome good\nbuilder uv\nlocal sha256:1")
    assert (read.good, read.builder, read.local) == (True, "uv", "sha256:1")
    assert restored(read) == given.model_copy(update={"image": f"r.example/console@{DIGEST}"})


def test_a_record_holds_names_of_secrets_and_keys_of_variables_alone() -> None:
    given = app(secrets={"token": {"secret": "console/token"}}, environment={"A": "b"})
    value = json.loads(
        record(given, Origin(given.image, DIGEST, "me"), "1", {"console/token": "0"})
    )
    assert value["secrets"] == {"console/token": "0"}
    assert value["environment"] == ["A"]


def test_files_of_the_controller_become_text_of_the_release() -> None:
    given = with_files(app(files={"a": {"source": "x"}}), {"x": "text"})
    assert given.files["a"].content == "text"


def test_what_changes_in_own_files_is_shown_line_by_line_and_no_secret_in_them() -> None:
    word = secrets.token_hex(8)
    texts = {"a.toml": "port = 1\nname = 'x'\n", "b": "same", "c": "gone", "d": f"key {word}"}
    before = release(1, app=app(files=_contents(texts)).model_dump(exclude_defaults=True))
    then = {"a.toml": "port = 2\nname = 'x'\n", "b": "same", "d": "key none", "e": "new\n"}
    assert differences(app(files=_contents(then)), before, [word]) == [
        "/etc/app/a.toml: modified\n  @@ -1,2 +1,2 @@\n  -port = 1\n  +port = 2\n   name = 'x'",
        "/etc/app/c: removed",
        "/etc/app/d: modified; not shown: a secret stands in it",
        "/etc/app/e: created\n  @@ -0,0 +1 @@\n  +new",
    ]
    moved = differences(app(files=_contents({"b": "same"}), files_at="/srv"), before, [word])
    assert [text.partition("\n")[0] for text in moved][::4] == [
        "/etc/app/a.toml: removed",
        "/srv/b: created",
    ]
    # Of a first deploy nothing is said: all of it is new.
    assert differences(app(files=_contents(then)), None, []) == []
    assert differences(app(), release(1, app={}), []) == []


def _contents(texts: dict[str, str]) -> dict[str, Any]:
    return {name: {"content": text} for name, text in texts.items()}


def left(number: int, tag: str = "", **fields: Any) -> HostImage:
    """An image that another tool left on the host."""
    name = "r.example/console"
    given = {
        "id": f"sha256:{number}",
        "created": f"2026-01-0{number}T00:00:00Z",
        "tags": (f"{name}:{tag}",) if tag else (),
        "digests": (f"{name}@sha256:{str(number) * 64}",),
    }
    return HostImage(**{**given, **fields})


LEFT = [
    left(1, "1.2.0-poetry"),
    left(2, "1.3.0-poetry"),
    left(3, "1.9.0", builder="poetry"),
    left(4, "2.0.0-poetry", builder="uv"),
    left(5, tags=("r.example/other:3.0.0-poetry",), digests=()),
]


@pytest.mark.parametrize(
    ("to", "number"),
    [("poetry", 3), ("1.2.0-poetry", 1), (f"sha256:{'2' * 12}", 2), ("uv", 4)],
)
def test_an_image_that_another_tool_left_is_found_by_label_tag_or_digest(
    to: str, number: int
) -> None:
    found = foreign(app(), to, LEFT, {})
    assert found is not None
    assert found.id == f"sha256:{number}"
    assert found.pinned(app(), to) == f"r.example/console@sha256:{str(number) * 64}"


def test_of_an_image_with_names_in_two_repositories_the_applications_own_counts() -> None:
    name = "r.example/console"
    image = left(6, tags=("a.example/other:9-poetry", f"{name}:one", f"{name}:two"), digests=())
    assert foreign(app(), "two", [image], {}) is image
    assert image.called(app(), "two") == image.pinned(app(), "two") == f"{name}:two"
    assert image.called(app(), "uv") == f"{name}:one"
    assert foreign(app(), "9-poetry", [image], {}) is None
    assert foreign(app(), "poetry", [image], {}) is None


@pytest.mark.parametrize("to", ["previous", "pip", "3.0.0-poetry", "sha256:2"])
def test_no_image_is_found_by_another_word_or_of_another_application(to: str) -> None:
    assert foreign(app(), to, LEFT, {}) is None


def test_a_tag_or_a_whole_digest_is_looked_for_at_the_registry() -> None:
    assert at_registry(app(), "1.3.0-poetry") == "r.example/console:1.3.0-poetry"
    assert at_registry(app(), OTHER) == f"r.example/console@{OTHER}"
    # Of a builder's word, the tags have to be listed first.
    assert [at_registry(app(), to) for to in ("previous", "poetry", "sha256:22")] == [""] * 3


@pytest.mark.parametrize(
    ("to", "tags", "newest"),
    [
        ("poetry", ["1.9.0-poetry", "1.10.0-poetry", "2.0.0-uv"], "1.10.0-poetry"),
        ("poetry", ["1.4.0rc1-poetry", "v1.4.0-poetry", "1.4.0-poetry-0a1b"], "v1.4.0-poetry"),
        # What is no version comes last.
        ("poetry", ["nightly-poetry", "0.1-poetry", "zz-poetry"], "0.1-poetry"),
        ("poetry", ["a-poetry", "b-poetry"], "b-poetry"),
        ("uv", ["1.9.0-poetry", "latest"], None),
        ("uv", [], None),
        # Patterns are settings.
        ("pip", ["old-9", "old-10", "1.0-pip"], "old-10"),
        ("dockerfile", ["by-1-hand", "by-2-hand", "by-hand"], "by-2-hand"),
    ],
)
def test_of_a_builders_tags_at_the_registry_the_newest_version_is_meant(
    to: str, tags: list[str], newest: str | None
) -> None:
    patterns = {"pip": "old-*", "dockerfile": "by-*-hand"}
    for one in (tags, tags[::-1]):
        assert newest_tag(to, one, patterns) == newest


@given(st.lists(st.text(min_size=1, max_size=12)), st.text(max_size=6))
def test_whatever_tags_and_patterns_there_are_one_of_the_tags_or_none_is_meant(
    tags: list[str], pattern: str
) -> None:
    assert newest_tag("poetry", tags, {"poetry": pattern}) in (None, *tags)


def test_the_pattern_of_a_builders_tags_is_a_setting() -> None:
    assert app(builder_tags={"poetry": "old-*"}).builder_tags == {"poetry": "old-*"}
    with pytest.raises(SettingsError, match=r"builder_tags.+did you mean 'poetry'"):
        app(builder_tags={"poetyr": "old-*"})


def test_images_of_the_host_are_read_with_their_labels() -> None:
    line = 'image sha256:1 2026-01-01T00:00:00Z ["a:1","b:2"] [] '
    label = '{"a":"b  c","io.uplift.builder":"uv"}'
    found = parse_state([line + label, line + "null", "busy", "end"])
    image = HostImage("sha256:1", "2026-01-01T00:00:00Z", ("a:1", "b:2"), (), "uv")
    assert found.images == (image, replace(image, builder=""))


def test_a_record_that_cannot_be_read_is_told_apart() -> None:
    coded = base64.b64encode(b"{}").decode()
    found = parse_state([f"release console 1 {coded} -", "busy", "end"])
    assert found.broken == {"console": ("1",)}
