"""The record of a container that was replaced, and what makes it again."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from container_double import ID, IMAGE, OLD, inspect

from uplift.spec.container import Container
from uplift.spec.container.record import body, exposed, further_networks, parse, sources


def found(**fields: Any) -> dict[str, Any]:
    return inspect(Container.parse({"name": "redis", "image": "redis:8", **fields}, path="redis"))


def packed(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def lines(record: Any, now: Any) -> list[str]:
    return ["busy ", "docker yes", f"record {packed(record)}", f"now {packed(now)}", "end"]


def again(old: dict[str, Any]) -> dict[str, Any]:
    """Return what Docker says of a container that was made from a body: another id."""
    new = json.loads(json.dumps(old).replace(ID[:12], "facade" * 2))
    new["Id"] = "facade" * 10 + "abcd"
    new["HostConfig"]["Binds"] = body(old)["HostConfig"]["Binds"]
    return dict(new)


def test_a_container_that_was_made_from_its_record_is_back() -> None:
    old = found(
        hostname="cache",
        environment={"A": "b"},
        networks=[{"name": "front", "aliases": ["kv"]}, {"name": "back"}],
    )
    assert parse(lines({"container": [old], "image": []}, [again(old)])).is_back


@pytest.mark.parametrize(
    "other",
    [
        {"environment": {"A": "c"}},
        {"ports": [{"container": 6379}]},
        {"restart": "no"},
        {"networks": [{"name": "front"}]},
    ],
)
def test_anything_else_is_not_back(other: dict[str, Any]) -> None:
    old, now = found(), found(**other)
    assert not parse(lines({"container": [old]}, [now])).is_back
    assert not parse(lines({"container": [old]}, [])).is_back
    stopped = {**old, "State": {"Status": "exited"}}
    assert not parse(lines({"container": [old]}, [stopped])).is_back


def test_nameless_volumes_come_back_under_their_name() -> None:
    old = found()
    (bind,) = body(old)["HostConfig"]["Binds"]
    assert bind == f"{'d' * 64}:/data"
    assert (
        body(found(mounts=[{"volume": "named", "target": "/data"}]) | {"Mounts": []})["HostConfig"][
            "Binds"
        ]
        is None
    )


def test_the_first_network_is_in_the_body_and_the_others_are_connected() -> None:
    old = found(networks=[{"name": "front", "aliases": ["kv"]}, {"name": "back", "aliases": ["x"]}])
    old["HostConfig"]["NetworkMode"] = "front"
    assert body(old)["NetworkingConfig"] == {"EndpointsConfig": {"front": {"Aliases": ["kv"]}}}
    assert further_networks(old) == {"back": ["x"]}


def test_the_image_is_the_hosts_own_else_that_of_the_registry() -> None:
    image = {"RepoDigests": [f"redis@{OLD}"], "Config": IMAGE.config}
    assert sources(found(), image) == [IMAGE.id, f"redis@{OLD}"]
    assert sources(found(), None) == [IMAGE.id]


def test_variables_that_the_image_does_not_bring_are_masked() -> None:
    old = found(environment={"PASSWORD": "made=up"})
    assert exposed(old, {"Config": IMAGE.config}) == ["made=up"]


def test_without_a_record_there_is_none() -> None:
    got = parse(["busy ", "docker yes", "record", f"now {packed([])}", "end"])
    assert (got.container, got.now) == (None, None)
