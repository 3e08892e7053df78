"""The whole operation through pyinfra, against a server that is played."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from influxdb_double import Double
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

from uplift.operations import influxdb
from uplift.secrets import forget
from uplift.spec.influxdb import InfluxDB, InfluxDBClient
from uplift.spec.secret import secret

VALUES = {name: secrets.token_hex(12) for name in ("ADMIN", "TOKEN", "CI")}
FILE = "/etc/ci/influxdb.token"
BLOCK: dict[str, Any] = {
    "setup": {
        "user": "admin",
        "password": secret("i/admin"),
        "organisation": "main",
        "bucket": "default",
        "token": secret("i/token"),
    },
    "organisations": ["two"],
    "buckets": [
        {"name": "default"},
        {"name": "ci", "organisation": "two", "retention": "30d", "shard_group_duration": "1d"},
    ],
    "users": [{"name": "ci", "password": secret("i/ci")}],
    "tokens": [{"description": "ci", "organisation": "two", "write": ["ci"], "file": FILE}],
}
EVERYTHING = [
    "POST setup",
    "POST orgs",
    "POST users",
    "POST users",
    "POST buckets",
    "POST authorizations",
]

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project folder of its own, with the secrets in the environment."""
    monkeypatch.chdir(tmp_path)
    for name, value in VALUES.items():
        monkeypatch.setenv(f"UPLIFT_SECRET_I_{name}", value)
    forget()
    yield
    forget()
    ctx_state.reset()
    ctx_host.reset()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Double:
    """A server on the played host."""
    double = Double()

    def run_shell_command(
        self: Any, command: Any, print_output: bool, print_input: bool, **options: Any
    ) -> Any:
        if print_input:
            logger.info(command.get_masked_value())
        good, output = double.run(command, options.get("_stdin"))
        if print_output:
            logger.info("\n".join(line.line for line in output))
        assert options["_sudo"], "an argument of the operation was lost on the way"
        return good, output

    monkeypatch.setattr(FakeConnector, "run_shell_command", run_shell_command)
    return double


@pytest.fixture
def run(server: Double) -> Run:
    """Run the operation; return its result, or None when it failed."""

    def call(block: dict[str, Any] = BLOCK, *, execute: bool = True) -> Any:
        server.writes, server.reads, server.commands, server.said = [], 0, [], ""
        state = State(Inventory((["@fake/box"], {"fake_delay": 0})), Config())
        state.print_input = state.print_output = True
        state.print_fact_info = state.print_fact_input = state.print_fact_output = True
        connect_all(state)
        host = state.inventory.get_host("@fake/box")
        meta = None
        settings = InfluxDB.parse(block, path="influxdb")
        with contextlib.suppress(PyinfraError):  # raised when no host is left
            added = add_op(
                state, influxdb.configured, name="InfluxDB", settings=settings, wait=1, _sudo=True
            )
            (meta,) = added.values()
            if execute:
                run_ops(state)
        return None if host in state.failed_hosts else meta

    return call


def test_an_empty_server_is_set_up_with_everything_in_order(run: Run, server: Double) -> None:
    assert run().did_change()
    assert server.writes == EVERYTHING
    assert server.token == VALUES["TOKEN"]
    assert server.files[FILE][2].decode() == server.authorizations[0]["token"]


def test_the_second_run_only_reads_in_one_command_each_time(run: Run, server: Double) -> None:
    run()
    meta = run()
    assert not meta.did_change()
    assert server.writes == []
    # Once for the plan, once for the change: setup, three lists, authorizations, two passwords.
    assert len(server.commands) == 2
    assert server.reads == 2 * 7


def test_a_dry_run_writes_nothing(run: Run, server: Double) -> None:
    assert run(execute=False).will_change
    assert server.writes == []
    assert server.token == ""


DRIFTS: dict[str, tuple[Callable[[Double], Any], list[str]]] = {
    "bucket deleted": (
        # The token's rights were those of the old bucket.
        lambda it: it.buckets.pop(),
        ["POST buckets", "POST authorizations", "DELETE authorizations"],
    ),
    "retention shortened": (
        lambda it: it.buckets[-1]["retentionRules"][0].update(everySeconds=86400),
        ["PATCH buckets"],
    ),
    "shard group duration": (
        lambda it: it.buckets[-1]["retentionRules"][0].update(shardGroupDurationSeconds=3600),
        ["PATCH buckets"],
    ),
    "token off": (
        lambda it: it.authorizations[-1].update(status="inactive"),
        ["PATCH authorizations"],
    ),
    "token deleted": (lambda it: it.authorizations.pop(), ["POST authorizations"]),
    "token's rights": (
        lambda it: it.authorizations[-1]["permissions"].pop(),
        ["POST authorizations", "DELETE authorizations"],
    ),
    "password": (lambda it: it.passwords.update(ci="another"), ["POST users"]),
    "first password": (lambda it: it.passwords.update(admin="another"), ["POST users"]),
    "user off": (lambda it: it.users[-1].update(status="inactive"), ["PATCH users"]),
    "user deleted": (
        lambda it: (it.users.pop(), it.passwords.pop("ci")),
        ["POST users", "POST users"],
    ),
    "file removed": (lambda it: it.files.clear(), []),
    "file's mode": (lambda it: it.files.update({FILE: ("644", *it.files[FILE][1:])}), []),
    "file's owner": (lambda it: it.files.update({FILE: ("600", "x", it.files[FILE][2])}), []),
    "file's content": (lambda it: it.files.update({FILE: ("600", "root", b"\xff")}), []),
}


@pytest.mark.parametrize(("drift", "writes"), DRIFTS.values(), ids=DRIFTS)
def test_drift_is_repaired_by_just_these_writes(
    run: Run, server: Double, drift: Callable[[Double], Any], writes: list[str]
) -> None:
    run()
    drift(server)
    assert run().did_change()
    assert server.writes == writes
    content = server.files[FILE]
    assert content == ("600", "root", server.authorizations[-1]["token"].encode())
    assert not run().did_change()


def test_a_longer_retention_is_not_shortened_without_leave(
    run: Run, server: Double, caplog: pytest.LogCaptureFixture
) -> None:
    run()
    server.buckets[-1]["retentionRules"][0]["everySeconds"] = 0
    server.passwords["ci"] = "another"
    assert run() is None
    assert server.writes == []  # nothing else either
    assert "bucket two/ci: retention infinite -> 30d deletes points" in server.said
    buckets = [BLOCK["buckets"][0], {**BLOCK["buckets"][1], "allow_data_loss": True}]
    assert run({**BLOCK, "buckets": buckets}).did_change()
    assert server.writes == ["POST users", "PATCH buckets"]


def test_what_the_settings_do_not_name_is_left_alone(run: Run, server: Double) -> None:
    run()
    server._bucket(name="mine", orgID="x", type="user", retentionRules=[{"everySeconds": 0}])
    server._add(server.users, name="me", status="inactive")
    server._add(server.authorizations, description="mine", orgID="x", token="t", permissions=[])
    before = (str(server.buckets), str(server.users), str(server.authorizations))
    assert not run().did_change()
    assert (str(server.buckets), str(server.users), str(server.authorizations)) == before


def test_more_than_a_page_is_read_whole(run: Run, server: Double) -> None:
    run()
    for number in range(250):
        server.users.insert(0, {"id": f"u{number}", "name": f"u{number}", "status": "active"})
    assert not run().did_change()
    # One page, then two, then four: for the plan, and for the change.
    assert len(server.commands) == 6


def test_nothing_secret_is_in_a_command_or_shown(
    run: Run, server: Double, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        run()
        commands = "".join(server.commands)
        run()
    captured = capfd.readouterr()
    shown = caplog.text + captured.out + captured.err + commands
    assert "organisation two: created" in shown
    for value in (*VALUES.values(), server.authorizations[0]["token"]):
        assert value not in shown


@pytest.mark.parametrize(
    ("start", "answer", "said"),
    [
        (
            "POST buckets",
            (422, {"code": "conflict", "message": "no room"}),
            "bucket two/ci: created, retention 30d: 422 conflict: no room",
        ),
        ("GET users", (500, {"code": "internal error", "message": "boom"}), "reading users: 500"),
        ("GET setup", (404, "<html>"), "is the server set up? 404"),
        ("GET orgs", (200, {"orgs": [{}]}), "not those of InfluxDB 2.7"),
        ("POST signin", (503, {"message": "later"}), "signing in as admin: 503 later"),
    ],
)
def test_an_error_names_object_and_field_and_the_servers_own_words(
    run: Run,
    server: Double,
    caplog: pytest.LogCaptureFixture,
    start: str,
    answer: tuple[int, Any],
    said: str,
) -> None:
    if start.startswith("GET") or "signin" in start:
        run()
    server.refuse[start] = answer
    assert run() is None
    assert said in caplog.text + server.said


def test_a_lost_operator_token_is_told_apart(run: Run, server: Double) -> None:
    run()
    server.token = "another"
    assert run() is None
    assert "secret('i/token')" in server.said
    assert "A lost operator token" in server.said


def test_a_server_that_takes_a_write_and_does_not_change_is_no_endless_loop(
    run: Run, server: Double
) -> None:
    run()
    server.refuse["PATCH buckets"] = (200, {})
    server.buckets[-1]["retentionRules"][0]["everySeconds"] = 3600 * 24
    assert run() is None
    assert server.writes == ["PATCH buckets"]
    assert "did not change" in server.said


def test_nothing_listening_is_a_change_to_come_and_then_a_failure(
    run: Run, server: Double, caplog: pytest.LogCaptureFixture
) -> None:
    server.listens = False
    assert run(execute=False).will_change
    assert run() is None
    assert "nothing listens there" in caplog.text


def test_a_host_without_curl_is_named(run: Run, server: Double) -> None:
    server.curl = False
    assert run() is None
    assert "curl is not installed on this host" in server.said


def test_a_password_that_the_server_would_refuse_is_named_before_anything_is_read(
    run: Run, server: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLIFT_SECRET_I_CI", "short")
    forget()
    assert run() is None
    assert server.reads == 0
    assert "secret('i/ci'): the password of user ci must have 8 to 72" in server.said
    assert "'short'" not in server.said


def test_rights_change_writes_the_file_before_the_old_token_goes(run: Run, server: Double) -> None:
    run()
    token = {**BLOCK["tokens"][0], "read": ["ci"]}
    assert run({**BLOCK, "tokens": [token]}).did_change()
    assert server.writes == ["POST authorizations", "DELETE authorizations"]
    file = next(i for i, it in enumerate(server.commands) if "mv -fT" in it)
    # Behind the file: it is read again, the new one proved, read, the old one goes, and read again.
    assert file == len(server.commands) - 6
    assert len(server.authorizations) == 1


def test_a_rotation_asked_for_is_a_new_token_and_one_that_was_killed_goes_on(
    run: Run, server: Double
) -> None:
    run()
    first = server.files[FILE][2]
    block = {**BLOCK, "tokens": [{**BLOCK["tokens"][0], "rotation": "2026-11"}]}
    # As if killed when the new one was made: what is in the file still is the old one.
    server.refuse["DELETE authorizations"] = (500, {"message": "later"})
    assert run(block) is None
    server.files[FILE] = ("600", "root", first)
    server.refuse.clear()
    assert run(block).did_change()
    assert server.writes == ["DELETE authorizations"]
    (left,) = server.authorizations
    assert left["description"] == "ci (rotation 2026-11)"
    assert server.files[FILE][2].decode() == left["token"] != first.decode()
    assert not run(block).did_change()


def test_a_new_token_that_may_not_write_leaves_the_old_one(
    run: Run, server: Double, caplog: pytest.LogCaptureFixture
) -> None:
    run()
    block = {**BLOCK, "tokens": [{**BLOCK["tokens"][0], "rotation": "2"}]}
    server.refuse["POST write"] = (403, {"code": "forbidden", "message": "insufficient"})
    assert run(block) is None
    assert "the new token may not write, the old one stays: 403 forbidden" in caplog.text
    assert len(server.authorizations) == 2


def test_a_token_for_other_hosts_is_kept_by_the_controller(
    run: Run, server: Double, tmp_path: Path
) -> None:
    lab = {"secret": "i/ci-token", "generate": True}
    token = {key: value for key, value in BLOCK["tokens"][0].items() if key != "file"}
    block = {**BLOCK, "tokens": [{**token, "secret": lab}]}
    assert run(block).did_change()
    kept = tmp_path / ".uplift/lab-secrets.json"
    assert json.loads(kept.read_text()) == {"i/ci-token": server.authorizations[0]["token"]}
    assert not run(block).did_change()
    # Lost on the controller: the server still shows it.
    kept.unlink()
    assert run(block).did_change()
    assert server.writes == []
    assert json.loads(kept.read_text()) == {"i/ci-token": server.authorizations[0]["token"]}


def test_what_nobody_asked_for_is_named(
    run: Run, server: Double, caplog: pytest.LogCaptureFixture
) -> None:
    run()
    home = server.orgs[0]["id"]
    server._add(server.orgs, name="theirs")
    server._bucket(name="old", orgID=home, type="user", retentionRules=[{"everySeconds": 0}])
    server._add(server.users, name="bob", status="active")
    server._add(server.authorizations, description="spare", orgID=home, token="t", permissions=[])
    caplog.clear()
    assert not run().did_change()
    named = "organisation theirs, bucket main/old, user bob, token main/spare"
    assert f"not in the settings, left alone: {named}" in caplog.text


def test_a_server_that_starts_is_waited_for_and_then_named(
    run: Run, server: Double, caplog: pytest.LogCaptureFixture
) -> None:
    run()
    server.refuse["GET setup"] = (503, {"code": "unavailable", "message": "starting"})
    assert run(execute=False).will_change
    assert run() is None
    assert "it is not ready yet: 503 unavailable: starting, for 1 s" in caplog.text


@pytest.fixture
def tokens(server: Double) -> Run:
    """Run the operation that brings tokens to another host; None when it failed."""

    def call(listed: list[dict[str, Any]]) -> Any:
        server.commands, server.said = [], ""
        state = State(Inventory((["@fake/box"], {"fake_delay": 0})), Config())
        connect_all(state)
        host = state.inventory.get_host("@fake/box")
        meta = None
        with contextlib.suppress(PyinfraError):
            settings = InfluxDBClient.parse({"tokens": listed}, path="influxdb_client")
            added = add_op(
                state, influxdb.tokens_present, name="Tokens", settings=settings, _sudo=True
            )
            (meta,) = added.values()
            run_ops(state)
        return None if host in state.failed_hosts else meta

    return call


def test_a_token_is_brought_to_another_host_once_and_again_when_it_was_changed(
    run: Run, tokens: Run, server: Double
) -> None:
    lab = {"secret": "i/ci-token", "generate": True}
    token = {key: value for key, value in BLOCK["tokens"][0].items() if key != "file"}
    listed = [{"secret": lab, "file": FILE, "owner": "ci"}]
    assert tokens(listed) is None
    assert "the controller has no such token yet: deploy the server that makes it" in server.said
    run({**BLOCK, "tokens": [{**token, "secret": lab}]})
    value = server.authorizations[0]["token"].encode()
    assert tokens(listed).did_change()
    assert server.files[FILE] == ("600", "ci", value)
    assert not tokens(listed).did_change()
    server.files[FILE] = ("644", "root", b"other")
    assert tokens(listed).did_change()
    assert server.files[FILE] == ("600", "ci", value)
    assert value.decode() not in "".join(server.commands)
