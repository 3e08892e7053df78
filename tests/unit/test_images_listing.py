"""Manifests taken apart, joined with what runs; and what a person reads."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.cli.images import age
from uplift.spec.images.listing import (
    Listed,
    Manifest,
    Running,
    address,
    canonical,
    image,
    joined,
    moment,
)

NAME = "registry.example.com:5000/console"
CREATED = "2026-11-20T10:00:00.5Z"


def body(size: int = 7) -> bytes:
    return json.dumps({"config": {"digest": "sha256:c"}, "layers": [{"size": size}] * 2}).encode()


def config(**changed: Any) -> bytes:
    labels = {
        "io.uplift.builder": "uv",
        "org.opencontainers.image.version": "2.0.0",
        "org.opencontainers.image.revision": "abc",
    }
    plain = {"os": "linux", "architecture": "amd64", "created": CREATED}
    return json.dumps({**plain, "config": {"Labels": labels}, **changed}).encode()


def listed(tags: tuple[str, ...] = ("2.0.0-uv",), size: int = 7) -> Listed:
    top = Manifest.parse(body(size))
    return image(NAME, tags, top, [(top, config())])


def test_a_digest_is_that_of_the_manifests_bytes() -> None:
    found = Manifest.parse(body())
    assert found.digest == "sha256:" + hashlib.sha256(body()).hexdigest()
    assert (found.size, found.config, found.children) == (14, "sha256:c", ())


def test_attestations_are_no_images_of_a_list() -> None:
    entries = [
        {"digest": "sha256:1", "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": "sha256:2", "platform": {"os": "unknown", "architecture": "unknown"}},
    ]
    found = Manifest.parse(json.dumps({"manifests": entries}).encode())
    assert found.children == ("sha256:1",)


@pytest.mark.parametrize("wrong", [b"{}", b"[]", b"3", b'{"layers": [1]}', b"no json"])
def test_what_is_no_manifest_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"manifest|JSON|Expecting"):
        Manifest.parse(wrong)


def test_an_image_says_what_its_labels_say() -> None:
    one = listed()
    assert (one.builder, one.version, one.revision) == ("uv", "2.0.0", "abc")
    assert one.created == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert one.platforms == ("linux/amd64",)


def test_a_container_is_found_under_the_digest_of_a_list_or_of_its_platform() -> None:
    top = Manifest("sha256:top", children=("sha256:arm",))
    one = image(NAME, ["1"], top, [])
    for digest in ("sha256:top", "sha256:arm"):
        running = {"web-1": [Running("console", (f"{NAME}@{digest}",))]}
        (found,) = joined([one], [NAME], running)
        assert found.hosts == {"web-1": ("console",)}


def test_an_image_that_runs_and_that_no_tag_names_is_listed_without_tags() -> None:
    runs = Running("console", (f"{NAME}@sha256:old",), json.loads(config()))
    other = Running("db", ("postgres@sha256:x",))
    found = joined([listed()], [NAME], {"web-1": [runs, other], "web-2": [other]})
    assert [(one.tags, dict(one.hosts)) for one in found] == [
        (("2.0.0-uv",), {}),
        ((), {"web-1": ("console",)}),
    ]


def test_names_of_docker_hub_are_the_same_however_they_are_written() -> None:
    assert {canonical(it) for it in ("redis", "library/redis", "docker.io/library/redis")} == {
        "redis"
    }
    assert address("redis") == ("registry-1.docker.io", "library/redis")
    assert address("team/console") == ("registry-1.docker.io", "team/console")
    assert address(NAME) == ("registry.example.com:5000", "console")


@given(st.text())
def test_any_text_is_a_date_or_none(text: str) -> None:
    assert moment(text) is None or isinstance(moment(text), datetime)


def test_the_zero_of_docker_is_no_date() -> None:
    assert moment("0001-01-01T00:00:00Z") is None


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (timedelta(days=3, hours=1), "3 d"),
        (timedelta(hours=5), "5 h"),
        (timedelta(minutes=5), "5 min"),
        (timedelta(seconds=5), "now"),
    ],
)
def test_an_age_has_one_unit(old: timedelta, said: str) -> None:
    assert age(listed(), datetime(2026, 11, 20, 10, tzinfo=UTC) + old) == said
