"""A service's container as verification sees it: each thing that is wrong is named, no secret."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from container_double import NEW, inspect, state

from uplift.spec.container import Container
from uplift.spec.container.arguments import create
from uplift.spec.container.image import NO_REGISTRY, Resolved
from uplift.spec.secret import Secret, SecretRef
from uplift.verify.container import Found, judge, labelled, shown

PASSWORD = SecretRef(secret="redis/password")
VALUE = secrets.token_hex(8) + '"quoted"'
VALUES = {PASSWORD: Secret(VALUE)}
PATTERNS = {"secret('redis/password')": VALUES[PASSWORD]}


def container(**fields: Any) -> Container:
    block = {"name": "redis", "image": "redis:8", "ports": [{"container": 6379}], **fields}
    return Container.parse(block, path="redis")


def real(it: Container, **changed: Any) -> dict[str, Any]:
    """What Docker says of a container that runs as it shall."""
    found = inspect(it, VALUES)
    found["NetworkSettings"]["Ports"] = {
        f"{one.container}/{one.protocol}": [
            {"HostIp": one.address, "HostPort": str(one.host or one.container)}
        ]
        for one in it.ports
    }
    for path, value in changed.items():
        part, _, key = path.partition("__")
        found[part][key] = value
    return found


def seen(it: Container, **changed: Any) -> Found:
    return judge(it, state(it, real(it, **changed)), PATTERNS)


def test_a_container_as_wanted_has_no_problem() -> None:
    assert seen(container(restart="on-failure:3")) == Found(())


OPEN = {"6379/tcp": [{"HostIp": "0.0.0.0", "HostPort": "6379"}]}  # noqa: S104 - what is wrong
BOTH = {"6379/tcp": [{"HostIp": ip, "HostPort": "6379"} for ip in ("127.0.0.1", "::")]}


@pytest.mark.parametrize(
    ("changed", "problems"),
    [
        (
            {"State__Status": "exited", "State__ExitCode": 1},
            ["it does not run: exited, exit code 1"],
        ),
        (
            {"State__Health": {"Status": "unhealthy"}},
            ["its image's own check says that it is unhealthy"],
        ),
        (
            {"HostConfig__RestartPolicy": {"Name": "always"}},
            ["restart policy: always, not unless-stopped"],
        ),
        ({"HostConfig__RestartPolicy": {}}, ["restart policy: no, not unless-stopped"]),
        (
            {"NetworkSettings__Ports": OPEN},
            [
                "port 0.0.0.0:6379 -> 6379/tcp is published against the settings",
                "port 127.0.0.1:6379 -> 6379/tcp is not published",
            ],
        ),
        (
            {"NetworkSettings__Ports": BOTH},
            ["port :::6379 -> 6379/tcp is published against the settings"],
        ),
        (
            {"NetworkSettings__Ports": {"6379/tcp": None}},
            ["port 127.0.0.1:6379 -> 6379/tcp is not published"],
        ),
    ],
)
def test_what_is_not_as_the_settings_say_is_named(
    changed: dict[str, Any], problems: list[str]
) -> None:
    assert list(seen(container(), **changed).problems) == problems


def test_a_missing_container_is_named() -> None:
    assert judge(container(), state(container()), PATTERNS).problems == (
        "there is no container redis",
    )


@pytest.mark.parametrize(
    ("resolved", "words"),
    [
        (Resolved("redis:8", "registry", NEW), "image: it runs sha256:aaaaaaaa…, redis:8 is"),
        (Resolved("redis:8", "failed", trouble="credentials: refused"), "image redis:8: cred"),
    ],
)
def test_another_image_than_the_registry_has_is_named(resolved: Resolved, words: str) -> None:
    it = container()
    found = judge(it, state(it, real(it), resolved={it.image: resolved}), PATTERNS)
    (problem,) = found.problems
    assert problem.startswith(words)


@pytest.mark.parametrize(
    ("trouble", "warnings"), [("the registry does not answer", 1), (NO_REGISTRY, 0)]
)
def test_an_image_that_no_registry_vouched_for_is_a_warning(trouble: str, warnings: int) -> None:
    it = container()
    resolved = Resolved(it.image, "local", local=state(it).images.popitem()[0], trouble=trouble)
    found = judge(it, state(it, real(it), resolved={it.image: resolved}), PATTERNS)
    assert (found.problems, len(found.warnings)) == ((), warnings)


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"Config__Env": [f"PASSWORD={VALUE}"]}, "Config.Env[PASSWORD]"),
        ({"Config__Cmd": ["redis-server", "--requirepass", VALUE]}, "Config.Cmd[2]"),
        ({"Config__Labels": {"note": f"is {VALUE}"}}, "Config.Labels.note"),
        ({"Config__Labels": {VALUE: ""}}, "the keys of Config.Labels"),
    ],
)
def test_a_secret_in_docker_inspect_is_named_by_its_place(
    changed: dict[str, Any], where: str
) -> None:
    (problem,) = seen(container(), **changed).problems
    assert problem == f"docker inspect redis: {where} holds secret('redis/password')"


EXPOSED: dict[str, Any] = {
    "environment": {"PASSWORD": {"secret": "redis/password"}},
    "expose_in_environment": True,
}


def test_a_secret_that_may_stand_in_a_variable_is_a_warning_and_elsewhere_a_problem() -> None:
    it = container(**EXPOSED)
    found = seen(it)
    assert found.problems == ()
    (warning,) = found.warnings
    assert "Config.Env[PASSWORD] holds secret('redis/password'), as expose_in_env" in warning
    assert VALUE not in warning
    assert seen(it, Config__Cmd=["sh", VALUE]).problems


def test_what_was_exposed_on_purpose_can_be_told_from_the_container_alone() -> None:
    it = container(**EXPOSED)
    words = create(it, Resolved(it.image, "registry", NEW), frozenset())
    label = next(word for word in words if "io.uplift.exposed" in word)
    key, _, value = label.removeprefix("--label=").partition("=")
    found = real(it, Config__Labels={key: value})
    assert labelled(found) == ["PASSWORD"]
    bad, known = shown(found, PATTERNS, labelled(found))
    assert (bad, len(known)) == ([], 1)
    # The control: without the label it is a find.
    assert shown(found, PATTERNS)[0]
    assert labelled(real(container())) == []
