"""Checks of applications from outside: each thing that is wrong is named."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from uplift.secrets import Secret, SecretRef
from uplift.spec.app import App, Route
from uplift.spec.app.release import Release
from uplift.spec.app.state import AppState
from uplift.spec.app.steps import Journal
from uplift.spec.container.image import Image, Resolved
from uplift.spec.container.state import State
from uplift.verify import app as checks
from uplift.verify.app import Expected

DIGEST = f"sha256:{'a' * 64}"
BLOCK = {
    "name": "console",
    "image": "r.example/console:2.0.0-uv",
    "port": 8000,
    "slot_ports": [18001, 18002],
}
RELEASE = Release(
    id="2",
    app={**BLOCK, "image": f"r.example/console@{DIGEST}"},
    reference="r.example/console:2.0.0-uv",
    digest=DIGEST,
    outcome="good",
    builder="uv",
)


def app(**fields: Any) -> App:
    """An application behind HAProxy."""
    return App.parse({**BLOCK, **fields}, path="apps")


def expected(**fields: Any) -> Expected:
    """It serves in the slot blue."""
    return Expected(app(**fields), "blue", RELEASE)


def state(builder: str = "uv", **fields: Any) -> State:
    """A host where it runs."""
    config = {"Labels": {"io.uplift.builder": builder}}
    image = Image("sha256:1", frozenset({DIGEST}), config)
    container = {
        "Id": "1",
        "Name": "/console-blue",
        "Image": "sha256:1",
        "Config": {"Image": BLOCK["image"], "Labels": config["Labels"], "StopTimeout": 30},
        "State": {"Status": "running", "Running": True},
        "HostConfig": {
            "RestartPolicy": {"Name": "unless-stopped"},
            "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18001"}]},
        },
        "Mounts": [],
        "NetworkSettings": {"Networks": {"bridge": {}}},
        **fields,
    }
    name = str(BLOCK["image"])
    return State(
        docker=True,
        containers={"console-blue": container},
        images={"sha256:1": image},
        resolved={name: Resolved(name, "registry", DIGEST)},
    )


def test_the_recorded_image_and_its_builder_run() -> None:
    assert checks.image_problems(expected(), state()) == []


def test_another_image_or_another_builder_is_named() -> None:
    other = replace(RELEASE, digest=f"sha256:{'b' * 64}")
    (line,) = checks.image_problems(replace(expected(), release=other), state())
    assert "it runs sha256:aaaa" in line
    (line,) = checks.image_problems(expected(), state(builder="poetry"))
    assert line == "its image says that poetry built it, recorded is uv"


def test_what_is_not_there_or_not_recorded_is_a_problem() -> None:
    assert checks.image_problems(expected(), State(docker=True)) == [
        "there is no container console-blue"
    ]
    unknown = replace(expected(), release=None)
    assert checks.image_problems(unknown, state()) == ["no good release is recorded"]


def test_settings_are_compared_field_by_field() -> None:
    assert checks.setting_problems(expected(), state(), {}) == []
    changed = expected(environment={"A": "b"}, memory="1g")
    assert "env A added" in checks.setting_problems(changed, state(), {})


def test_a_secret_without_a_value_is_a_problem_and_a_value_is_never_shown() -> None:
    ref = SecretRef(secret="console/token")
    one = expected(secrets={"token": ref})
    assert checks.setting_problems(one, state(), {}) == [
        "the record of its release has no value of secret('console/token')"
    ]
    (mounts, line) = checks.setting_problems(one, state(), {ref: Secret("needle")})
    assert (mounts.startswith("mounts"), line) == (True, "secret token added")


def test_each_file_that_differs_is_named() -> None:
    one = expected(files={"a": {"content": "1"}, "b": {"content": "2"}})
    there = {"a": hashlib.sha256(b"other").hexdigest(), "c": ""}
    found = AppState(files={one.app.folder: there})
    assert checks.file_problems(one, found) == [
        "file b is missing",
        "file a has another content",
        "file c is one too many",
    ]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (AppState(running={"console": {"blue": "maint"}}), "has blue as maint, ready is wanted"),
        (
            AppState(running={"console": {"blue": "ready", "green": "ready"}}),
            "has green as ready, maint is wanted",
        ),
        (
            AppState(
                running={"console": {"blue": "ready"}},
                journals={"console": Journal("1", "blue", "hold before")},
            ),
            "a switch was interrupted at 'hold before'",
        ),
    ],
)
def test_a_slot_that_does_not_serve_alone_is_named(found: AppState, words: str) -> None:
    assert words in "; ".join(checks.slot_problems(expected(), found, state()))


def test_on_a_host_that_was_taken_back_its_release_is_what_is_right() -> None:
    back = replace(RELEASE, id="3", of="1", reference="r.example/console:1.4.0-poetry")
    found = AppState(active={"console": "green"}, releases={"console": (RELEASE, back)})
    one = checks.expected(app(environment={"A": "today"}), found)
    assert (one.back, one.slot, one.release) == (True, "green", back)
    assert one.app.environment == {}
    today = checks.expected(app(), replace(found, releases={"console": (RELEASE,)}))
    assert (today.back, today.app.image) == (False, BLOCK["image"])


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        ('{"version": "2.0.0", "builder": "uv"}', True),
        ("2.0.0", True),
        ("12.0.0", False),
        ("2.0.01", False),
        ("2.0.0.1", False),
        ("", False),
    ],
)
def test_an_answer_holds_the_version_as_a_word_of_its_own(answer: str, good: bool) -> None:
    assert checks.version_of(RELEASE) == "2.0.0"
    assert checks.answers_version(answer, "2.0.0") is good


@pytest.mark.parametrize(
    ("path", "good"), [("/", True), ("/version", True), ("/api", False), ("/vers", False)]
)
def test_a_route_covers_its_path_and_what_is_below(path: str, good: bool) -> None:
    assert checks.covers(Route(path=path), "/version") is good
