"""What happens on a host: which files are written, what is told, what is left alone."""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.spec.clients import Clients
from uplift.spec.clients.plan import Plan, places, plan
from uplift.spec.clients.state import (
    DOCKER,
    HOST,
    HOST_PIP,
    HOST_UV,
    IN_THE_WAY,
    NETRC,
    NPMRC,
    PIP,
    PIP_OLD,
    PYPIRC,
    FileState,
    HostState,
    Place,
    User,
)
from uplift.spec.clients.wanted import wanted
from uplift.spec.errors import UpliftError
from uplift.spec.secret import Secret, SecretRef, secret

KEY = b"k" * 32
PASSWORD = secrets.token_hex(16)
APP = User("1001", "1002", "/home/app")
URL = "https://n.example.com/repository/npm/"
LOGIN = {"username": "deployer", "password": secret("nexus/deployer")}
SETTINGS: dict[str, Any] = {
    "users": [
        {
            "user": "app",
            "netrc": [
                {
                    "machine": "n.example.com",
                    "login": "deployer",
                    "password": secret("nexus/deployer"),
                }
            ],
            "npmrc": {"registry": URL, "auth": [{"url": URL, **LOGIN}]},
            "pip": {"index_url": "https://n.example.com/simple"},
            "pypirc": {"servers": [{"name": "nexus", "repository": URL, **LOGIN}]},
            "docker": {"auths": [{"registry": "n.example.com:5000", **LOGIN}]},
        }
    ],
    "uv": {"index": [{"name": "corp", "url": "https://n.example.com/simple", "default": True}]},
    "pip": {"index_url": "https://n.example.com/simple"},
}
NOTHING: dict[str, Any] = {"users": [], "uv": None, "pip": None}


def make(settings: dict[str, Any], host: HostState, password: str = PASSWORD) -> Plan:
    """The plan for a host with these settings."""

    def resolve(ref: SecretRef) -> Secret:
        return Secret(password)

    files = wanted(Clients.parse(settings, path="clients"), resolve)
    return plan(files, host, key=KEY, salt="s")


def host(files: dict[Place, FileState] | None = None, record: str | None = None) -> HostState:
    return HostState(0, {"app": APP, HOST: User("0", "0", "/")}, files or {}, record)


def file(place: Place, text: str, **changes: Any) -> dict[Place, FileState]:
    owner = "0:0" if place.is_host else "1001:1002"
    root = "" if place.is_host else "/home/app"
    state = FileState("file", f"{root}/{place.relative}", place.mode, owner, text.encode())
    return {place: dataclasses.replace(state, **changes)}


def apply(before: HostState, todo: Plan) -> HostState:
    """The host after a plan was carried out."""
    files = dict(before.files)
    for change in todo.changes:
        if change.action == "remove":
            del files[change.place]
        elif change.action == "put":
            files |= file(change.place, change.content.decode())
    record = todo.last if todo.last is not None else todo.first
    return HostState(0, before.users, files, before.record if record is None else record)


def npmrc(text: str, **changes: Any) -> HostState:
    return host(file(Place("app", NPMRC), text, **changes))


def test_a_bare_host_gets_every_file_and_then_nothing_more() -> None:
    todo = make(SETTINGS, host())
    made = {change.place for change in todo.changes}
    assert made == {
        Place("app", NETRC), Place("app", NPMRC), Place("app", PIP), Place("app", PYPIRC),
        Place("app", DOCKER), Place(HOST, HOST_UV), Place(HOST, HOST_PIP),
    }  # fmt: skip
    assert all(change.expect == "absent" for change in todo.changes)
    again = make(SETTINGS, apply(host(), todo))
    assert (again.is_empty, again.lines, again.errors) == (True, (), ())


def test_secrets_stand_only_in_what_is_sent_to_the_host() -> None:
    todo = make(SETTINGS, host())
    shown = f"{todo} {todo.lines} {todo.warnings} {todo.errors} {todo.first} {todo.last}"
    sent = b"".join(change.content for change in todo.changes)
    assert PASSWORD.encode() in sent
    assert PASSWORD not in shown
    assert base64.b64encode(f"deployer:{PASSWORD}".encode()).decode() not in shown


def test_taking_everything_out_of_the_settings_removes_the_files_that_were_made() -> None:
    there = apply(host(), make(SETTINGS, host()))
    todo = make(NOTHING, there)
    assert {change.action for change in todo.changes} == {"remove"}
    bare = apply(there, todo)
    assert bare.files == {}
    assert make(NOTHING, bare).is_empty


FOREIGN = {
    Place("app", NETRC): "machine x login y password z\n",
    Place("app", NPMRC): "; mine\nsave-exact=true",
    Place("app", PIP): "[list]\r\nformat = columns\r\n",
    Place("app", PYPIRC): "[distutils]\nindex-servers = pypi\n",
    Place("app", DOCKER): '{"auths": {"x": {"auth": "eA=="}}, "psFormat": "t"}',
    Place(HOST, HOST_UV): "offline = true\n",
    Place(HOST, HOST_PIP): "[global]\nno-color = true\n",
}


@given(st.sets(st.sampled_from(sorted(FOREIGN))))
def test_files_that_were_there_get_their_bytes_back(some: set[Place]) -> None:
    files: dict[Place, FileState] = {}
    for place in some:
        files |= file(place, FOREIGN[place])
    there = apply(host(files), make(SETTINGS, host(files)))
    assert make(SETTINGS, there).is_empty
    back = apply(there, make(NOTHING, there))
    assert {place: state.content for place, state in back.files.items()} == {
        place: FOREIGN[place].encode() for place in some
    }


def test_an_entry_that_was_there_before_is_not_ours_to_remove() -> None:
    before = npmrc(f"registry={URL}\n")
    there = apply(before, make(SETTINGS, before))
    todo = make(NOTHING, there)
    (left,) = [change for change in todo.changes if change.place == Place("app", NPMRC)]
    assert left.content.decode() == f"registry={URL}\n"


def test_an_entry_that_was_changed_by_hand_since_is_left_and_said() -> None:
    there = apply(host(), make(SETTINGS, host()))
    text = there.files[Place("app", NPMRC)].content.decode().replace(URL, "https://other/")
    files = {**there.files, **file(Place("app", NPMRC), text)}
    todo = make(NOTHING, HostState(0, there.users, files, there.record))
    (line,) = [line for line in todo.lines if ".npmrc" in line]
    assert "registry left as it is: it was changed by hand" in line
    (change,) = [change for change in todo.changes if change.place == Place("app", NPMRC)]
    assert b"registry=https://other/" in change.content


def test_without_a_record_a_run_converges_and_removes_nothing() -> None:
    there = dataclasses.replace(apply(host(), make(SETTINGS, host())), record=None)
    assert make(SETTINGS, there).is_empty
    assert make(NOTHING, there).is_empty


@pytest.mark.parametrize("record", ["", "no json", "[]", '{"version": 1}', '{"files": {"x": 1}}'])
def test_a_broken_record_is_as_good_as_none(record: str) -> None:
    there = dataclasses.replace(apply(host(), make(SETTINGS, host())), record=record)
    todo = make(SETTINGS, there)
    assert (todo.changes, todo.errors) == ((), ())


def test_a_record_of_a_newer_version_is_refused() -> None:
    with pytest.raises(UpliftError, match="newer uplift"):
        make(SETTINGS, host(record='{"version": 2}'))


def test_the_host_is_told_which_record_the_plan_was_made_from() -> None:
    assert make(SETTINGS, host()).seen == "absent"
    there = dataclasses.replace(host(), record_sha256="ab" * 32)
    assert make(SETTINGS, there).seen == "ab" * 32


@pytest.mark.parametrize("rights", ["755 0:0", "700 1001:1002"])
def test_a_folder_of_the_record_that_is_open_to_others_is_closed_and_told(rights: str) -> None:
    there = apply(host(), make(SETTINGS, host()))
    todo = make(SETTINGS, dataclasses.replace(there, folder=rights))
    assert not todo.is_empty
    assert todo.changes == ()
    assert todo.lines == (f"/var/lib/uplift: {rights} -> 700 0:0",)
    assert make(SETTINGS, dataclasses.replace(there, folder="700 0:0")).is_empty


def test_a_killed_run_forgets_nothing() -> None:
    there = apply(host(), make(SETTINGS, host()))
    less = {**SETTINGS, "users": []}
    todo = make(less, there)
    # Killed after the first record and before any file: the next run removes what it should.
    killed = dataclasses.replace(there, record=todo.first or there.record)
    assert {change.place for change in make(less, killed).changes} == {
        change.place for change in todo.changes
    }
    # Killed while a value was replaced: old and new value both count as ours.
    newer = make(SETTINGS, there, password="new" + PASSWORD)
    assert newer.first is not None
    for files in (there.files, apply(there, newer).files):
        half = HostState(0, there.users, files, newer.first)
        assert {change.action for change in make(NOTHING, half).changes} == {"remove"}


def test_a_changed_secret_is_told_as_two_fingerprints() -> None:
    there = apply(host(), make(SETTINGS, host()))
    other = secrets.token_hex(16)
    todo = make(SETTINGS, there, password=other)
    (line,) = [line for line in todo.lines if ".netrc" in line]
    assert line.startswith("/home/app/.netrc: machine n.example.com changed (")
    assert " -> " in line and other not in line and PASSWORD not in line


def test_a_value_of_someone_else_is_not_shown_when_it_may_hold_a_secret() -> None:
    other = secrets.token_hex(16)
    todo = make(SETTINGS, npmrc(f"registry=https://me:{other}@old/\n"))
    assert other not in str(todo)
    assert "registry changed (" in str(todo.lines)


def test_mode_and_owner_are_repaired_and_told() -> None:
    there = apply(host(), make(SETTINGS, host()))
    place = Place("app", NPMRC)
    state = dataclasses.replace(there.files[place], mode="644", owner="0:0")
    todo = make(SETTINGS, dataclasses.replace(there, files={**there.files, place: state}))
    assert todo.lines == ("/home/app/.npmrc: mode 644 -> 600, owner 0:0 -> 1001:1002",)
    assert [change.content for change in todo.changes] == [state.content]


def test_credentials_that_would_win_over_ours_go() -> None:
    scope = "//n.example.com/repository/npm/"
    todo = make(SETTINGS, npmrc(f"{scope}:_authToken=x\n//other/:_authToken=y\n"))
    (change,) = [change for change in todo.changes if change.place == Place("app", NPMRC)]
    assert b"x\n" not in change.content and b"//other/:_authToken=y\n" in change.content
    assert f"{scope}:_authToken removed: it would win over ours" in str(todo.lines)


@pytest.mark.parametrize("status", sorted(set(IN_THE_WAY) - {"no-user"}))
def test_what_stands_in_the_way_is_an_error_of_that_file_alone(status: str) -> None:
    place = Place("app", NETRC)
    todo = make(SETTINGS, host({place: FileState(status, "/home/app/.netrc")}))
    assert todo.errors == (f"/home/app/.netrc: {IN_THE_WAY[status]}",)
    assert place not in {change.place for change in todo.changes}
    assert len(todo.changes) == 6


def test_a_broken_file_is_an_error_with_its_line_and_the_others_are_done() -> None:
    todo = make(SETTINGS, host(file(Place("app", NETRC), "machine a login b\nbogus c\n")))
    (error,) = todo.errors
    assert error.startswith("/home/app/.netrc: line 2: a word that is none of")
    assert len(todo.changes) == 6


def test_a_user_that_does_not_exist_is_an_error_of_its_files() -> None:
    todo = make(SETTINGS, HostState(0, {HOST: User("0", "0", "/")}, {}, None))
    assert len(todo.errors) == 5
    assert all("~app/" in error and "does not exist" in error for error in todo.errors)
    assert len(todo.changes) == 2


def test_a_recorded_user_that_is_gone_is_forgotten() -> None:
    there = apply(host(), make(SETTINGS, host()))
    gone = HostState(0, {HOST: User("0", "0", "/")}, {}, there.record)
    todo = make(NOTHING, gone)
    assert (todo.changes, todo.errors) == ((), ())
    assert todo.last is not None and json.loads(todo.last)["files"] == {}


def test_leftovers_of_a_killed_run_are_cleaned_even_when_nothing_else_changes() -> None:
    there = apply(host(), make(SETTINGS, host()))
    place = Place("app", NPMRC)
    files = {**there.files, place: dataclasses.replace(there.files[place], leftovers=1)}
    todo = make(SETTINGS, dataclasses.replace(there, files=files))
    assert [change.action for change in todo.changes] == ["clean"]


def test_a_secret_that_the_format_cannot_hold_is_named_but_not_shown() -> None:
    spaced = f"{secrets.token_hex(8)} {secrets.token_hex(8)}"
    todo = make(SETTINGS, host(), password=spaced)
    (error,) = todo.errors
    assert "/home/app/.netrc" in error or "~app/.netrc" in error
    assert "secret('nexus/deployer')" in error and spaced not in error


def test_other_indexes_beside_ours_are_warned_of_also_in_the_old_pip_conf() -> None:
    extra = "[global]\nextra-index-url = https://x\n"
    files = file(Place("app", PIP), extra)
    old = file(Place("app", PIP_OLD), extra)
    todo = make(SETTINGS, host({**files, **old}))
    assert [warning.split(": line")[0] for warning in todo.warnings] == [
        "/home/app/.config/pip/pip.conf",
        "/home/app/.pip/pip.conf",
    ]


def test_the_old_pip_conf_is_read_too() -> None:
    files = wanted(Clients.parse(SETTINGS, path="clients"), lambda ref: Secret("x"))
    assert Place("app", PIP_OLD) in places(files)


def test_extra_certificates_reach_every_client() -> None:
    files = wanted(Clients.parse(SETTINGS, path="clients"), lambda ref: Secret("x"), "/ca.crt")
    entries = {
        (file.place.relative, entry.key, entry.value) for file in files for entry in file.entries
    }
    assert {
        (PIP, "[global] cert", "/ca.crt"),
        (HOST_PIP, "[global] cert", "/ca.crt"),
        (NPMRC, "cafile", "/ca.crt"),
        (HOST_UV, "system-certs", "true"),
    } <= entries
    alone = wanted(Clients(), lambda ref: Secret("x"), "/ca.crt")
    assert {file.place.relative for file in alone} == {HOST_UV, HOST_PIP}
