"""The way back of a host where a container's replacement was interrupted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from uplift.facts.schema import Said, SchemaAhead
from uplift.operations import app_ways
from uplift.spec.app import App
from uplift.spec.app.models import SLOTS
from uplift.spec.app.release import Origin, Release, parse, record
from uplift.spec.app.serving import SlotContainer
from uplift.spec.app.state import AppState
from uplift.spec.container.image import Image, Resolved
from uplift.spec.container.state import State
from uplift.spec.errors import UpliftError

OLD, NEW = (f"sha256:{letter * 64}" for letter in "ab")
PROXIED: dict[str, Any] = {"port": 8000, "slot_ports": [18001, 18002]}
ALONE: dict[str, Any] = {"proxy": "none"}
IDS = {OLD: "20260101T000000Z-1", NEW: "20260102T000000Z-2"}
CUT = "rename before"


def application(given: dict[str, Any]) -> App:
    """An application that can say whether a release understands its database."""
    check = {"command": ["fits"]}
    block = {"name": "console", "image": "r.example/console:2", "schema_check": check}
    return App.parse({**block, **given}, path="apps")


def container(app: App, name: str, digest: str, *, runs: bool = True) -> dict[str, Any]:
    """A container of a release as `docker inspect` shows it."""
    slot = next((one for one in SLOTS if app.name_in(one) in name), SLOTS[0])
    ports = {
        f"{one.container}/tcp": [{"HostIp": one.address, "HostPort": str(one.host)}]
        for one in app.container(slot).ports
    }
    config = {"Labels": {}, "Env": [], "Cmd": None, "Entrypoint": None, "StopTimeout": 30}
    return {
        "Id": name,
        "Name": f"/{name}",
        "Image": digest,
        "Config": {**config, "Image": f"r.example/console@{digest}"},
        "State": {"Status": "running" if runs else "exited", "Running": runs},
        "HostConfig": {
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
            "PortBindings": ports,
        },
        "Mounts": [],
        "NetworkSettings": {"Networks": {"bridge": {}}},
    }


def release(app: App, digest: str) -> Release:
    """A good release of an image."""
    text = record(app, Origin(app.image, digest, "me"), IDS[digest], {})
    return replace(parse(text, "outcome good"), local=digest)


def looked(
    monkeypatch: pytest.MonkeyPatch,
    app: App,
    to: str,
    there: list[dict[str, Any]],
    journal: str,
    code: int | None = 0,
    **found: Any,
) -> list[str]:
    """Look for the way back where a journal was left; return which containers were asked."""
    asked: list[str] = []
    references = [f"r.example/console@{one}" for one in (OLD, NEW)]
    state = State(
        docker=True,
        containers={one["Name"][1:]: one for one in there},
        images={one: Image(one, frozenset({one}), {}) for one in (OLD, NEW)},
        resolved={one: Resolved(one, "digest", one.rpartition("@")[2]) for one in references},
        journals={journal: CUT} if journal else {},
    )
    said = AppState(
        active={} if app.proxy == "none" else {"console": "blue"},
        releases={"console": tuple(release(app, one) for one in (OLD, NEW))},
        containers={
            one["Name"][1:]: SlotContainer(one["Id"], one["Image"], IDS[one["Image"]])
            for one in there
        },
        **found,
    )

    def read(host: Any, fact: Any, **given: Any) -> Said:
        assert fact is SchemaAhead
        asked.append(given["container"])
        return Said(code, "the schema is ahead")

    monkeypatch.setattr(app_ways, "host", SimpleNamespace(name="box", log=lambda text: None))
    monkeypatch.setattr(app_ways, "read", lambda apps: said)
    monkeypatch.setattr(app_ways, "read_quietly", read)
    monkeypatch.setattr(app_ways, "fingerprint_key", lambda: b"k" * 32)
    monkeypatch.setattr(app_ways.container, "read", lambda wanted: state)
    app_ways.check_way_back(app, IDS[to])
    return asked


def test_what_serves_is_asked_for_the_schema_though_a_replacement_was_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = application(PROXIED)
    there = [container(app, "console-blue", NEW)]
    assert looked(monkeypatch, app, OLD, there, "console-green") == ["console-blue"]
    with pytest.raises(UpliftError, match="the database's schema is not one for"):
        looked(monkeypatch, app, OLD, there, "console-green", code=1)


def test_a_release_that_serves_is_not_asked_about_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    app = application(PROXIED)
    there = [container(app, "console-blue", NEW)]
    assert looked(monkeypatch, app, NEW, there, "console-green", code=1) == []


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        # Its container was renamed, and the new one has no name yet.
        ({"console--previous": OLD}, "console--previous"),
        ({"console": NEW, "console--previous": OLD}, "console"),
        ({"console": OLD}, "console"),
    ],
)
def test_where_what_serves_was_being_replaced_it_is_asked_whatever_the_release(
    there: dict[str, str], asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application(ALONE)
    containers = [container(app, name, digest, runs=False) for name, digest in there.items()]
    assert looked(monkeypatch, app, OLD, containers, "console") == [asked]


def test_port_and_disk_are_looked_at_though_a_replacement_was_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = application(PROXIED)
    there = [container(app, "console-blue", NEW)]
    with pytest.raises(UpliftError, match="port 18002 of slot green is taken by another program"):
        looked(monkeypatch, app, OLD, there, "console-green", listening=frozenset({18002}))
    with pytest.raises(UpliftError, match="disk: 0 MB are free where images are"):
        looked(monkeypatch, app, OLD, there, "console-green", room=1)


@pytest.mark.parametrize("name", ["console-green", "console-green--previous"])
def test_a_port_of_the_slot_is_its_own_whatever_its_container_is_called(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application(PROXIED)
    stopped = [container(app, "console-green", NEW, runs=False)] if name.endswith("us") else []
    there = [container(app, "console-blue", NEW), container(app, name, OLD), *stopped]
    listens = frozenset({18001, 18002})
    asked = looked(monkeypatch, app, OLD, there, "console-green", listening=listens, room=1)
    # It is of the release already, too: nothing is pulled, and no disk is needed.
    assert asked == ["console-blue"]
