"""What verification says of a host that was taken back to a release."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from uplift.spec.app import App
from uplift.spec.app.release import Origin, Release, parse, record
from uplift.spec.app.state import AppState
from uplift.verify.rollback import moved

IMAGE = "registry.example.com/shop"
BLOCK = {
    "name": "shop",
    "image": f"{IMAGE}:1.4.0-poetry",
    "port": 8000,
    "slot_ports": [18001, 18002],
    "environment": {"MODE": "plain"},
    "files": {"shop.toml": {"content": "one"}},
}


def recorded(id: str, *, of: str = "", key: str = "1", digit: str = "a", **fields: Any) -> Release:
    """A release as a host's record says it, with other settings where some are given."""
    digest = "sha256:" + digit * 64
    app = App.parse({**BLOCK, **fields}, path="apps")
    origin = Origin(str(BLOCK["image"]), digest, "somebody", of=of)
    return parse(record(app, origin, id, {}, {"token": key}), "outcome good")


WAS = recorded("20260101T000000Z-aaaa")
APP = App.parse({**BLOCK, "image": f"{IMAGE}:2.0.0-uv"}, path="apps")


def back(**fields: Any) -> Release:
    """The record that a rollback to the first one wrote."""
    return recorded("20260102T000000Z-aaaa", of=WAS.id, **fields)


def said(release: Release, *others: Release, app: App = APP) -> list[str]:
    return moved(release, AppState(releases={"shop": (*others, release)}), app)


def test_the_release_as_it_was_is_right_also_when_its_first_record_went() -> None:
    assert said(back(), WAS) == []
    assert said(back()) == []


def test_of_an_image_that_came_from_no_registry_its_id_on_the_host_is_compared() -> None:
    was, now = (replace(one, digest="", local="sha256:1") for one in (WAS, back()))
    assert said(now, was) == []
    (line,) = said(replace(now, local="sha256:2"), was)
    assert line.endswith(" was: image")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"digit": "b"}, "image"),
        ({"key": "2"}, "secret token"),
        ({"environment": {"MODE": "today's"}}, "environment MODE"),
        ({"environment": {"MODE": "plain", "MORE": "1"}}, "environment MORE"),
        ({"environment": {}}, "environment MODE"),
        ({"files": {"shop.toml": {"content": "two"}}}, "file shop.toml"),
        ({"files": {}}, "file shop.toml"),
        ({"memory": "1g"}, "memory"),
        ({"routes": [{"path": "/shop"}]}, "routes"),
        ({"digit": "b", "environment": {}, "memory": "1g"}, "image, environment MODE, memory"),
    ],
)
def test_what_is_not_as_it_was_then_is_named_and_no_value_is_shown(
    changed: dict[str, Any], words: str
) -> None:
    now = back(**changed)
    assert said(now, WAS) == [f"{now.words} is not what {WAS.words} was: {words}"]


def test_a_host_that_was_taken_back_to_todays_settings_is_not_as_the_release_was() -> None:
    today = {"environment": {"MODE": "today's"}}
    (line,) = said(back(**today), WAS, app=App.parse({**BLOCK, **today}, path="apps"))
    assert line.endswith(": environment MODE")


def test_where_it_runs_and_what_is_kept_of_it_is_no_part_of_a_release() -> None:
    moved_on = {"slot_ports": [19001, 19002], "keep": {"images": 5}, "maintenance": True}
    assert said(back(**moved_on), WAS) == []


def test_a_first_record_that_is_not_what_was_deployed_is_named() -> None:
    (line,) = said(back(), replace(WAS, files={"shop.toml": "0"}))
    assert f"the record of release {WAS.id} is damaged: shop.toml" in line
