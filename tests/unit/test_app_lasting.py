"""The way back of an application, proven before it changes: record, image and secrets are whole."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from uplift.operations import app_ways
from uplift.spec.app import App
from uplift.spec.app.foreign import HostImage
from uplift.spec.app.lasting import lasting, unheld
from uplift.spec.app.plan import Action, Todo
from uplift.spec.app.release import Origin, Release, parse, record
from uplift.spec.app.state import AppState
from uplift.spec.app.state import parse as parse_state
from uplift.spec.container.image import Resolved
from uplift.spec.container.plan import Plan
from uplift.spec.container.state import State

DIGEST, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
LOCAL, ALIEN = f"sha256:{'c' * 64}", f"sha256:{'d' * 64}"
FIRST, SECOND = "20260101T000000Z-1", "20260102T000000Z-2"
APP = App.parse(
    {
        "name": "console",
        "image": "r.example/console:2",
        "port": 8000,
        "slot_ports": [18001, 18002],
        "environment": {"KEY": {"secret": "console/key"}},
        "expose_in_environment": True,
    },
    path="apps",
)
SWITCH = Todo("switch", "green", "blue", Plan("create"))


def release(id: str = SECOND, digest: str = DIGEST, **fields: Any) -> Release:
    """A good release with one secret."""
    app = APP.model_copy(update={"image": "r.example/console:1"})
    text = record(app, Origin(app.image, digest, "me"), id, {"console/key": "0"})
    return replace(parse(text, f"outcome good\nlocal {LOCAL}"), **fields)


def found(*releases: Release, **fields: Any) -> AppState:
    """A host with releases whose records are whole, and the image of one."""
    given = {
        "active": {"console": "blue"},
        "releases": {"console": releases},
        "held": {f"console/{one.id}": frozenset({"0"}) for one in releases},
        "images": (HostImage(LOCAL, "", digests=(f"r.example/console@{DIGEST}",)),),
    }
    return AppState(**{**given, **fields})


def serving(label: str = SECOND, image: str = LOCAL) -> State:
    """Containers: blue serves."""
    labels = {"io.uplift.release": label} if label else None
    blue = {"Id": "b1", "Name": "/console-blue", "Image": image, "Config": {"Labels": labels}}
    return State(docker=True, containers={"console-blue": blue})


def test_a_record_that_is_whole_and_is_of_what_serves_is_a_way_back() -> None:
    assert lasting(APP, SWITCH, serving(), found(release(FIRST), release())) == ""
    # A container that was used again has the id of an earlier release, one of another tool none.
    for label in (FIRST, ""):
        assert lasting(APP, SWITCH, serving(label), found(release())) == ""
    # Another record is damaged, and this one says that it is the container's.
    broken = {"console": (SECOND,)}
    assert (
        lasting(APP, SWITCH, serving(), found(release(FIRST, container="b1"), broken=broken)) == ""
    )
    # It is gone, and can be made again.
    assert lasting(APP, SWITCH, State(docker=True), found(release())) == ""


@pytest.mark.parametrize(
    ("state", "there", "reason"),
    [
        (
            State(docker=True),
            found(active={}),
            "console: there was no release before, the new one stays",
        ),
        (serving(), found(), f"console: the record of {SECOND}, which serves, is gone"),
        (serving(""), found(), "console: of what serves there is no record"),
        # Without it, the one before would be taken for it: it has the same image.
        (serving(), found(release(FIRST)), f"the record of {SECOND}, which serves, is gone"),
        (
            serving(),
            found(release(FIRST), broken={"console": (SECOND,)}),
            f"the record of {SECOND} cannot be read",
        ),
        (serving(image=ALIEN), found(release()), "is not the image of its release"),
        (serving(), found(release(), held={}), "has lost the value of console/key"),
        (serving(), found(release(app={"no": 1})), "cannot be read by this version"),
    ],
)
def test_what_a_revert_could_not_undo_is_said_before(
    state: State, there: AppState, reason: str
) -> None:
    assert reason in lasting(APP, SWITCH, state, there)


@pytest.mark.parametrize("action", ["mend", "tidy", "nothing"])
def test_what_makes_no_release_needs_no_way_back(action: Action) -> None:
    todo = replace(SWITCH, action=action)
    assert lasting(APP, todo, serving(), found()) == ""
    assert unheld(APP, todo, found(release(), images=())) is None


def test_without_a_proxy_the_one_container_is_what_serves() -> None:
    app = APP.model_copy(update={"proxy": "none"})
    todo = Todo("replace", "blue", "", Plan("replace"))
    (one,) = serving().containers.values()
    state = State(docker=True, containers={app.name_in("blue"): one})
    assert lasting(app, todo, state, found(release())) == ""
    assert "is gone" in lasting(app, todo, state, found())


def test_an_image_that_is_not_on_the_host_has_to_be_had_from_its_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    answer = Resolved("", "digest", DIGEST)

    def read(wanted: Any) -> State:
        asked.append(wanted[0].image)
        return State(docker=True, resolved={wanted[0].image: answer})

    monkeypatch.setattr(app_ways.container, "read", read)
    state, there = State(docker=True), found(release(), images=())
    # What is on the host costs no question.
    assert app_ways.lasting(APP, SWITCH, serving(), found(release())) == ""
    assert asked == []
    assert app_ways.lasting(APP, SWITCH, state, there) == ""
    assert asked == [f"r.example/console@{DIGEST}"]
    answer = replace(answer, trouble="manifest unknown")
    said = app_ways.lasting(APP, SWITCH, state, there)
    assert said.endswith("is not on the host, and cannot be pulled: manifest unknown")


def test_files_of_secrets_are_read_with_the_record() -> None:
    def packed(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    text = record(APP, Origin(APP.image, DIGEST, "me"), FIRST, {"console/key": "0"})
    line = f"release console {FIRST} {packed(text)} {packed('outcome good')}"
    lines = ["busy", line, f"held console/{FIRST} 0", f"held console/{FIRST} 1", "end"]
    read = parse_state(lines)
    assert read.held == {f"console/{FIRST}": {"0", "1"}}
