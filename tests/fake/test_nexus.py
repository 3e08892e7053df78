"""The whole operation through pyinfra, against a server that is played."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nexus_double import Double
from nexus_host import Host
from pyinfra import logger
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State
from pyinfra.connectors.fake import FakeConnector
from pyinfra.context import ctx_host, ctx_state

from uplift.operations import nexus
from uplift.secrets import forget, secret
from uplift.spec.http import Response
from uplift.spec.nexus import Nexus
from uplift.spec.secret import Secret, SecretRef
from uplift.verify.nexus import differences

VALUES = {name: secrets.token_hex(12) for name in ("ADMIN", "OLD", "REMOTE", "CI")}
BLOCK: dict[str, Any] = {
    "admin": {"password": secret("n/admin")},
    "accept_eula": True,
    "repositories": [
        {
            "format": "pypi",
            "type": "proxy",
            "name": "public",
            "proxy": {"remote_url": "https://index.example/"},
            "http_client": {"authentication": {"username": "us", "password": secret("n/remote")}},
        },
        {"format": "pypi", "type": "hosted", "name": "ours"},
    ],
    "deployers": {
        "repositories": ["ours"],
        "users": [{"user_id": "ci", "password": secret("n/ci")}],
    },
}
EVERYTHING = [
    "PUT /v1/security/users/admin/change-password",
    "POST /v1/system/eula",
    "PUT /v1/security/anonymous",
    "POST /v1/repositories/pypi/proxy",
    "POST /v1/repositories/pypi/hosted",
    "POST /v1/security/roles",
    "POST /v1/security/users",
]
RECORD = "/var/lib/uplift/nexus-http-127-0-0-1-28081.json"

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project folder of its own, with the secrets in the environment."""
    monkeypatch.chdir(tmp_path)
    for name, value in VALUES.items():
        monkeypatch.setenv(f"UPLIFT_SECRET_N_{name}", value)
    forget()
    yield
    forget()
    ctx_state.reset()
    ctx_host.reset()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with a new server."""
    played = Host(Double())

    def run_shell_command(
        self: Any, command: Any, print_output: bool, print_input: bool, **options: Any
    ) -> Any:
        if print_input:
            logger.info(command.get_masked_value())
        good, output = played.run(command, options.get("_stdin"))
        if print_output:
            logger.info("\n".join(line.line for line in output))
        assert options["_sudo"], "an argument of the operation was lost on the way"
        return good, output

    monkeypatch.setattr(FakeConnector, "run_shell_command", run_shell_command)
    return played


@pytest.fixture
def run(host: Host) -> Run:
    """Run the operation; return its result, or None when it failed."""

    def call(block: dict[str, Any] = BLOCK, *, execute: bool = True) -> Any:
        host.commands, host.asked, host.said, host.server.writes = [], [], "", []
        state = State(Inventory((["@fake/box"], {"fake_delay": 0})), Config())
        state.print_input = state.print_output = True
        state.print_fact_info = state.print_fact_input = state.print_fact_output = True
        connect_all(state)
        box = state.inventory.get_host("@fake/box")
        meta = None
        settings = Nexus.parse(block, path="nexus")
        with contextlib.suppress(PyinfraError):  # raised when no host is left
            added = add_op(
                state, nexus.configured, name="Nexus", settings=settings, wait=1, _sudo=True
            )
            (meta,) = added.values()
            if execute:
                run_ops(state)
        return None if box in state.failed_hosts else meta

    return call


def test_a_new_server_gets_everything_in_order(run: Run, host: Host) -> None:
    assert run().did_change()
    assert host.server.writes == EVERYTHING
    assert host.server.passwords == {"admin": VALUES["ADMIN"], "ci": VALUES["CI"]}
    record = json.loads(host.files[RECORD])
    assert record["created"]["repository"] == ["ours", "public"]


def test_the_second_run_only_reads_in_one_command_each_time(run: Run, host: Host) -> None:
    run()
    meta = run()
    assert not meta.did_change()
    assert host.server.writes == []
    # Once for the plan, once for the change; each with a probe of admin and of ci.
    assert len(host.commands) == 2
    assert len(host.asked) <= 2 * (16 + 2)


def test_a_dry_run_says_everything_and_writes_nothing(
    run: Run, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert run(execute=False).will_change
    assert host.server.writes == []
    assert host.files == {}
    for line in ("user admin: password set", "repository ours: created (pypi hosted)"):
        assert f"nexus: {line}" in caplog.text


def test_no_secret_is_shown_in_a_command_or_in_what_is_remembered(
    run: Run, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert run().did_change()
    assert "nexus: repository ours: created" in caplog.text  # the positive control
    for value in (*VALUES.values(), "made-up"):
        assert value not in caplog.text
        assert value not in "".join([*host.commands, *host.files.values()])


def test_the_licence_is_accepted_by_nobody_but_the_settings(run: Run, host: Host) -> None:
    assert run({**BLOCK, "accept_eula": False}) is None
    assert host.server.writes == []
    assert "Use of it is governed by “terms”. Read it, and set accept_eula = True" in host.said


def test_a_write_that_is_refused_is_told_in_the_servers_words(run: Run, host: Host) -> None:
    words = [{"id": "FIELD remoteUrl", "message": "no such host"}]
    body = json.dumps(words).encode()
    path = "POST /service/rest/v1/repositories/pypi/hosted"
    host.refuse[path] = Response(400, 0, "application/json", body)
    assert run() is None
    first, *others = host.said.splitlines()
    assert first == "nexus: repository ours: created (pypi hosted): 400 remoteUrl: no such host"
    assert [line.split(": ")[1:2] for line in others] == [["role deployer"], ["user ci"]]
    # The rest was done and is remembered; the next run does what is left.
    assert "public" in host.files[RECORD]
    host.refuse.clear()
    run()
    assert host.server.writes == EVERYTHING[4:]


def test_the_wrong_password_is_one_line(run: Run, host: Host) -> None:
    host.server.first = False
    assert run() is None
    assert host.said.splitlines() == [
        "nexus: the server refuses the password of admin: tried secret('n/admin') (there is no "
        "/nexus-data/admin.password of the container nexus). Give the one that it has as "
        "admin.first_password: it is then changed to the wanted one"
    ]


def test_a_password_that_the_server_was_given_before_is_replaced(run: Run, host: Host) -> None:
    host.server.first = False
    host.server.passwords["admin"] = VALUES["OLD"]
    admin = {"password": secret("n/admin"), "first_password": secret("n/old")}
    assert run({**BLOCK, "admin": admin}).did_change()
    assert host.server.passwords["admin"] == VALUES["ADMIN"]


NEXUS = {"server": "Nexus/3.85.0-03 (COMMUNITY)"}
PAGE = b"<html><title>Sign in to the proxy</title></html>"
STRANGE: dict[str, tuple[Callable[[Any], Response | None], str]] = {
    "page of a proxy": (
        lambda _: Response(200, 0, "text/html", PAGE, {"server": "nginx"}),
        "is no Nexus (200 a web page, Sign in to the proxy, Server: 'nginx')",
    ),
    "bad gateway": (
        lambda _: Response(502, 0, "text/html", PAGE, {}),
        "is no Nexus (502 a web page, Sign in to the proxy, Server: 'not named')",
    ),
    "still starting": (lambda _: Response(503, 0, "text/html", PAGE, {}), "not ready after 1 s"),
    "nothing there": (lambda _: None, "not ready after 1 s: nothing listens there"),
    "too old": (
        lambda _: Response(200, 0, "", b"", {"server": "Nexus/3.20.1-01 (OSS)"}),
        "Nexus 3.20.1 (OSS) is too old",
    ),
}


@pytest.mark.parametrize(("answer", "said"), STRANGE.values(), ids=STRANGE)
def test_what_is_no_ready_nexus_is_told(
    run: Run,
    host: Host,
    answer: Callable[[Any], Response | None],
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    host.instead = answer
    assert run() is None
    assert said in host.said + caplog.text
    assert host.server.writes == []


def test_an_error_of_the_server_is_told_once_with_what_was_read(run: Run, host: Host) -> None:
    error = Response(500, 0, "text/plain", b"ERROR: (ID 0815) java.lang.Bad", NEXUS)
    run()
    host.refuse["GET /service/rest/v1/security/roles"] = error
    assert run() is None
    assert host.said == (
        "nexus: http://127.0.0.1:28081: reading roles: 500 ERROR: (ID 0815) java.lang.Bad"
    )


def test_a_server_that_takes_a_write_and_forgets_it_is_told(run: Run, host: Host) -> None:
    host.refuse["PUT /service/rest/v1/security/anonymous"] = Response(204, 0, "", b"")
    assert run() is None
    assert "took these writes and did not change: anonymous access: enabled" in host.said


@pytest.mark.parametrize("done", range(len(EVERYTHING)))
def test_a_run_that_is_cut_off_between_two_writes_is_completed_by_the_next(
    run: Run, host: Host, done: int
) -> None:
    host.cut = done
    assert run() is None
    assert host.server.writes == EVERYTHING[:done]
    assert host.files == {}
    host.cut = None
    assert run().did_change()
    # The secret of a proxy is sent once more, as nothing was remembered of it.
    again = ["PUT /v1/repositories/pypi/proxy/public"] if done > 3 else []
    assert host.server.writes == [*again, *EVERYTHING[done:]]
    assert not run().did_change()


PRUNED = {**BLOCK, "repositories": BLOCK["repositories"][1:], "prune": {"enabled": True}}


def test_a_repository_goes_only_when_the_server_says_clearly_that_it_is_empty(
    run: Run, host: Host
) -> None:
    run()
    host.refuse["GET /service/rest/v1/components"] = Response(200, 0, "text/html", PAGE, NEXUS)
    assert run(PRUNED) is None
    assert host.server.writes == []
    assert "reading the components of public: 200 a web page, Sign in to the proxy" in host.said
    host.refuse.clear()
    assert run(PRUNED).did_change()
    assert host.server.writes == ["DELETE /v1/repositories/public"]


class Seen:
    """The same host, as testinfra shows it to a verification."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def run(self, command: str, *args: str, stdin: Any = None) -> Any:
        """Do what a command of the verification would."""
        if command.startswith("cat"):
            return SimpleNamespace(rc=0, stdout=self.host.files.get(args[0], ""))
        assert command == "curl -q --config -"
        said = b"".join(self.host._raw(block) for block in stdin.reveal().split("next\n"))
        return SimpleNamespace(rc=0, stdout=said.decode())


def verified(host: Host) -> tuple[str, ...]:
    """What a verification finds."""
    values = {
        SecretRef(secret=f"n/{name.lower()}"): Secret(value) for name, value in VALUES.items()
    }
    seen: Any = Seen(host)
    return differences(seen, Nexus.parse(BLOCK, path="nexus"), values)


def test_a_verification_finds_what_a_deploy_would_change(run: Run, host: Host) -> None:
    assert verified(host) == ("http://127.0.0.1:28081: it refuses the password of admin",)
    run()
    assert verified(host) == ()
    host.server.anonymous["enabled"] = True
    host.server.passwords["ci"] = "changed by hand"
    assert verified(host) == (
        "anonymous access: enabled: true -> false",
        "user ci: password set",
    )
    assert host.server.writes == EVERYTHING


def test_a_verification_of_a_server_that_does_not_answer_says_so(run: Run, host: Host) -> None:
    run()
    host.instead = lambda _: None
    (line,) = verified(host)
    assert line.startswith("http://127.0.0.1:28081: nothing listens there")
