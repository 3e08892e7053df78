"""What verification says of a host that was taken back to a release."""

from __future__ import annotations

from dataclasses import replace

import pytest

from uplift.spec.app import App
from uplift.spec.app.release import Release
from uplift.spec.app.state import AppState
from uplift.verify.rollback import moved

IMAGE = "registry.example.com/shop"
WAS = Release(
    "20260101T000000Z-aaaa", {}, f"{IMAGE}:1.4.0-poetry", "sha256:" + "a" * 64,
    outcome="good", fingerprints={"key": "1"},
)  # fmt: skip
BACK = replace(WAS, id="20260102T000000Z-aaaa", of=WAS.id)
APP = App.parse(
    {"name": "shop", "image": f"{IMAGE}:2.0.0-uv", "port": 8000, "slot_ports": [18001, 18002]},
    path="apps[0]",
)


def said(back: Release, *others: Release) -> list[str]:
    return moved(back, AppState(releases={"shop": (*others, back)}), APP)


def test_the_release_as_it_was_is_right_also_when_its_first_record_went() -> None:
    assert said(BACK, WAS) == []
    assert said(BACK) == []


@pytest.mark.parametrize("changed", [{"digest": "sha256:" + "b" * 64}, {"fingerprints": {}}])
def test_another_image_or_another_secret_than_then_is_told(changed: dict[str, object]) -> None:
    (line,) = said(replace(BACK, **changed), WAS)  # type: ignore[arg-type]
    assert f"{BACK.id} (" in line and f"is not what {WAS.id} (" in line
