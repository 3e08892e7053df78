"""The operation container.converged, on hosts that answer from a recording."""

from __future__ import annotations

import base64
import fcntl
import json
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from container_double import IMAGE, OLD, inspect
from pyinfra.api.command import StringCommand
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_state

from uplift.facts.container import LOGIN, Containers, Record, Releases
from uplift.operations import backup_script, container
from uplift.operations.container_removal import _removal
from uplift.operations.container_script import MARK
from uplift.operations.container_settle import UNDO
from uplift.operations.container_steps import BASE, STEPS
from uplift.secrets import forget
from uplift.spec.container import Container
from uplift.spec.container.models import SECRETS as SECRETS_FOLDER
from uplift.spec.container.state import STATE, parse

WORD = "needle-in-the-script"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project folder of its own: fingerprints are made with its key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPLIFT_SECRET_REDIS_PASSWORD", WORD)
    forget()
    yield
    forget()
    for context in (ctx_state, ctx_host, ctx_config):
        context.reset()


def settings(**fields: Any) -> Container:
    return Container.parse({"name": "redis", "image": "redis:8", **fields}, path="redis")


def coded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def answer(*found: dict[str, Any], more: tuple[str, ...] = ()) -> str:
    image = {"Id": IMAGE.id, "RepoDigests": [f"redis@{OLD}"], "Config": IMAGE.config}
    registry = {"Descriptor": {"digest": OLD}}
    return "\n".join(
        [
            "busy ",
            "docker yes",
            "limits true true true",
            *more,
            f"resolve redis:8 {IMAGE.id} 200 {coded(registry)}",
            f"containers {coded(found)}",
            f"images {coded([image])}",
            "end",
        ]
    )


def prepared(said: str) -> State:
    # The fact's script waits for jobs of this name: a word that only it has.
    responses = {"uplift-container-*": said, "io.uplift.managed": said, "docker ps -a": said}
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": responses}
    state = State(Inventory((["@fake/box"], data)), Config())
    connect_all(state)
    return state


def apply(it: Container, said: str) -> tuple[Any, list[str]]:
    """Run the operation once on a host whose fact says this."""
    state = prepared(said)
    (meta,) = add_op(state, container.converged, name="Containers", containers=[it]).values()
    run_ops(state)
    return meta, state.inventory.get_host("@fake/box").connector.executed_commands


def commands_for(it: Container, said: str) -> list[StringCommand]:
    """The commands that the operation yields, unmasked."""
    state = prepared(said)
    host = state.inventory.get_host("@fake/box")
    with ctx_state.use(state), ctx_host.use(host):
        return list(container.converged._inner(containers=[it]))


def script_of(command: StringCommand) -> str:
    return "".join(command.connector_arguments["_stdin"].readlines())


def test_containers_as_wanted_cost_one_remote_command_a_time_and_change_nothing() -> None:
    it = settings()
    meta, commands = apply(it, answer(inspect(it)))
    assert not meta.did_change()
    # Once while preparing, once while running.
    assert len(commands) == 2


def test_a_change_is_one_job() -> None:
    meta, commands = apply(settings(memory="2g", init=True), answer(inspect(settings())))
    assert meta.did_change()
    assert [command for command in commands if "systemd-run" in command] == commands[-1:]
    assert "uplift container-" in commands[-1]


SECRETS: dict[str, Any] = {
    "secrets": {"password": {"secret": "redis/password"}},
    "environment": {"PASSWORD": {"secret": "redis/password"}},
    "expose_in_environment": True,
    "secret_owner": 999,
}


def test_a_secret_is_in_no_command_and_in_no_line_of_docker_create() -> None:
    it = settings(**SECRETS)
    (command,) = commands_for(it, answer())
    assert WORD not in command.get_raw_value()
    assert WORD not in repr(command.connector_arguments)
    text = script_of(command)
    (make,) = [line for line in text.splitlines() if line.startswith("make()")]
    value = base64.b64encode(WORD.encode()).decode()
    assert value not in make
    assert "--env=PASSWORD" not in make
    # The positive control: it is in the script, which travels by standard input.
    assert value in text


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"labels": {"quote": 'it\'s "$HOME" `id`; #'}, "command": ["sh", "-c", "echo 'x'\n"]},
        {**SECRETS, "networks": [{"name": "back"}, {"name": "front", "aliases": ["x"]}]},
        {"health": {"command": ["redis-cli", "-a", "it's", "ping"]}},
        {"health": {"http": {"port": 80, "path": "/$(id)?a='b'"}}},
    ],
)
def test_the_script_is_shell_whatever_the_settings_hold(fields: dict[str, Any]) -> None:
    (command,) = commands_for(settings(**fields), answer())
    done = subprocess.run(
        ["sh", "-n"], input=script_of(command), text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert MARK in script_of(command)


def test_a_refusal_names_the_container_and_nothing_is_run() -> None:
    said = answer().replace("docker yes", "docker no")
    (command,) = commands_for(settings(), said)
    assert "uplift: redis: there is no Docker Engine" in command.get_raw_value()
    assert "_stdin" not in command.connector_arguments


def test_a_missing_secret_is_named_before_the_host_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("UPLIFT_SECRET_REDIS_PASSWORD")
    (command,) = commands_for(settings(**SECRETS), answer())
    assert "redis/password" in command.get_raw_value()


def test_the_same_repair_of_another_container_is_another_job() -> None:
    it, ids = settings(init=True), []
    for id in ("a" * 64, "b" * 64):
        found = {**inspect(settings()), "Id": id}
        found["Config"]["Hostname"] = id[:12]
        (command,) = commands_for(it, answer(found))
        ids.append(shlex.split(command.get_raw_value())[4])
    assert ids[0] != ids[1]


def test_an_orphan_is_named_and_left() -> None:
    orphan = inspect(settings())
    orphan["Name"], orphan["Id"] = "/redis-old", "e" * 64
    orphan["Config"]["Labels"] |= {
        "io.uplift.managed": "true",
        "io.uplift.subject": "redis",
        "io.uplift.container": "redis-old",
    }
    it = settings()
    said = answer(inspect(it), orphan)
    assert commands_for(it, said) == []
    assert container.orphans([it], parse(said.splitlines())) == ["redis-old"]


KEPT = "\n".join(
    [
        "busy ",
        "docker yes",
        "container redis",
        "volume data",
        *(f"image {image}" for image in "abc"),
        "used c",
        *(f"release redis {image}" for image in "abc"),
        "end",
    ]
)


def yielded(operation: Any, said: str, **arguments: Any) -> list[StringCommand]:
    state = prepared(said)
    with ctx_state.use(state), ctx_host.use(state.inventory.get_host("@fake/box")):
        return list(operation._inner(**arguments))


def test_absent_removes_a_container_and_keeps_its_volume() -> None:
    (command,) = yielded(container.absent, KEPT, containers=["redis", "gone"])
    text = script_of(command)
    assert "names=redis\n" in text
    assert "volumes=''\ndelete_data=\n" in text and "gone" not in text


def test_absent_takes_volumes_that_are_named_and_confirmed_alone() -> None:
    words: dict[str, Any] = {"containers": ["redis"], "volumes": ["data"]}
    (command,) = yielded(container.absent, KEPT, **words)
    assert "set delete_data to True" in command.get_raw_value()
    assert "exit 64" in command.get_raw_value()
    (command,) = yielded(container.absent, KEPT, **words, delete_data=True)
    assert "volumes=data\ndelete_data=yes\n" in script_of(command)


def test_absent_and_pruned_do_nothing_where_nothing_is_left() -> None:
    assert yielded(container.absent, KEPT, containers=["gone"]) == []
    assert yielded(container.pruned, KEPT, containers=[settings()]) == []


def test_pruned_removes_the_images_that_are_surplus() -> None:
    (command,) = yielded(container.pruned, KEPT, containers=[settings(keep={"images": 2})])
    assert command.get_raw_value().rstrip().endswith(" a")


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("registry", ["registry.example:5000", "https://index.docker.io/v1/"])
def test_the_login_of_a_registry_is_found_however_the_file_is_written(
    tmp_path: Path, indent: int | None, registry: str
) -> None:
    pair = 'joe:p"a\\:ss'
    auths = {
        "registryXexample:5000": {"auth": base64.b64encode(b"no:no").decode()},
        registry: {"auth": base64.b64encode(pair.encode()).decode(), "email": "x@y.example"},
        "other.example": {},
    }
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": auths}, indent=indent))
    text = f"""pack() {{ base64 -w 0; }}\n{LOGIN}\nlogin "$1"; echo; login nowhere.example"""
    done = subprocess.run(
        ["sh", "-c", text, "sh", registry],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    found, none = done.stdout.split("\n")
    assert none == ""
    assert json.loads(base64.urlsafe_b64decode(found)) == {
        "username": "joe",
        "password": 'p"a\\:ss',
        "serveraddress": registry,
    }


@pytest.mark.parametrize(
    ("config", "said", "expected"),
    [
        (
            {"credHelpers": {"r.example": "here"}, "credsStore": "no"},
            {"ServerURL": "r.example", "Username": "joe", "Secret": 'p"a\\ss'},
            {"username": "joe", "password": 'p"a\\ss', "serveraddress": "r.example"},
        ),
        (
            {"credsStore": "here", "credHelpers": {"other.example": "no"}},
            {"Secret": "made-up", "Username": "<token>"},
            {"identitytoken": "made-up", "serveraddress": "r.example"},
        ),
        # The helper has none: what the file says.
        (
            {"credsStore": "no", "auths": {"r.example": {"auth": "am9lOng="}}},
            {},
            {"username": "joe", "password": "x", "serveraddress": "r.example"},
        ),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_credential_helper_is_asked_by_its_standard_input(
    tmp_path: Path,
    config: dict[str, Any],
    said: dict[str, str],
    expected: dict[str, str],
    indent: int | None,
) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps(config, indent=indent))
    answer = shlex.quote(json.dumps(said, indent=indent))
    for name, text in {
        "here": f'[ "$1 $(cat)" = "get r.example" ] && printf "%s\\n" {answer}',
        "no": "echo credentials not found in native keychain; exit 1",
    }.items():
        file = tmp_path / f"docker-credential-{name}"
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", f"pack() {{ base64 -w 0; }}\n{LOGIN}\nlogin r.example"],
        env={"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(base64.urlsafe_b64decode(done.stdout)) == expected


def returned(record: Any, now: Any) -> list[StringCommand]:
    said = "\n".join(["busy ", "docker yes", f"record {coded(record)}", f"now {coded(now)}", "end"])
    # A word that only this fact's script has.
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": {'echo "record': said}}
    state = State(Inventory((["@fake/box"], data)), Config())
    connect_all(state)
    with ctx_state.use(state), ctx_host.use(state.inventory.get_host("@fake/box")):
        return list(container.returned._inner(container="redis", record="adopted"))


def test_a_record_comes_back_by_one_job_whose_variables_are_in_no_command() -> None:
    old = inspect(settings(environment={"PASSWORD": WORD}))
    (command,) = returned(
        {"container": [old], "image": [{"Config": IMAGE.config}]}, [inspect(settings())]
    )
    assert WORD not in command.get_raw_value()
    text = script_of(command)
    assert base64.b64encode(WORD.encode()).decode() in text
    done = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_back_already_is_left_and_without_a_record_that_is_said() -> None:
    old = inspect(settings())
    assert returned({"container": [old]}, [old]) == []
    assert returned({"container": [old]}, []) != []
    (command,) = returned({}, [old])
    assert "it was never replaced" in command.get_raw_value()


def shell(folder: Path, text: str, docker: str = "false") -> subprocess.CompletedProcess[str]:
    """Run text behind the script's functions, with a folder of its own and this for a Docker."""
    (folder / "journal").touch()
    base = BASE[BASE.index("note() {") :]
    docker = f"dk() {{ {docker}; }}; sync() {{ :; }}; up() {{ :; }}; daemon() {{ :; }}"
    whole = f"dir={folder} name=redis next=next reason=\n{base}{MARK}{STEPS}{UNDO}{docker}\n{text}"
    return subprocess.run(["sh", "-c", whole], capture_output=True, text=True, check=False)


NO_ANSWER = "echo Cannot connect to the Docker daemon >&2; return 1"
GONE = "echo Error response from daemon: No such container: it >&2; return 1"


@pytest.mark.parametrize(("docker", "code"), [(NO_ANSWER, 1), (GONE, 0)])
def test_a_daemon_that_does_not_answer_is_no_proof_that_a_container_is_gone(
    tmp_path: Path, docker: str, code: int
) -> None:
    assert shell(tmp_path, "new=it; take_away", docker).returncode == code


def test_on_a_full_disk_what_is_kept_stays_and_no_step_begins(tmp_path: Path) -> None:
    assert shell(tmp_path, "keep old one").returncode == 0
    (tmp_path / "old.new").symlink_to("/dev/full")
    assert shell(tmp_path, "keep old two").returncode != 0
    assert (tmp_path / "old").read_text() == "one\n"
    # The positive control: with a journal, the step is done.
    begun = "do_stop() { echo begun; }; step stop"
    done = shell(tmp_path, begun)
    assert (done.returncode, (tmp_path / "noise").read_text()) == (0, "begun\n")
    (tmp_path / "journal").unlink()
    (tmp_path / "journal").symlink_to("/dev/full")
    done = shell(tmp_path, f"{begun} || why")
    assert f"disk: {tmp_path}/journal cannot be written" in done.stdout
    assert (tmp_path / "noise").read_text() == ""


def test_a_removal_that_docker_does_not_answer_fails_and_keeps_what_it_knows(
    tmp_path: Path,
) -> None:
    (tmp_path / "state/redis").mkdir(parents=True)
    (tmp_path / "docker").write_text(f"#!/bin/sh\n{NO_ANSWER.replace('return', 'exit')}\n")
    (tmp_path / "docker").chmod(0o755)
    text = _removal(["redis"], [], delete_data=False)
    text = text.replace(STATE, f"{tmp_path}/state").replace(SECRETS_FOLDER, f"{tmp_path}/secrets")
    assert "/var/lib" not in text
    done = subprocess.run(
        ["sh", "-c", text],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Cannot connect" in done.stdout
    assert (tmp_path / "state/redis").exists()


@pytest.mark.parametrize(("version", "code"), [("exit 0", 0), ("exit 1", 1)])
@pytest.mark.parametrize(
    "text",
    [
        Containers().command([settings()]).get_raw_value(),
        Releases().command().get_raw_value(),
        Record().command(container="redis", record="previous").get_raw_value(),
    ],
    ids=["containers", "releases", "record"],
)
def test_what_a_daemon_that_went_away_did_not_say_is_not_taken_for_absent(
    tmp_path: Path, text: str, version: str, code: int
) -> None:
    docker = tmp_path / "docker"
    # It answers what comes first, and then it is stopped.
    docker.write_text(
        f"#!/bin/sh\ncase $* in *info*) echo true true true; exit ;;"
        f" *version*) [ -e {tmp_path}/asked ] && {version}; : >{tmp_path}/asked; exit 0 ;; esac\n"
        f": >{tmp_path}/asked; echo Cannot connect to the Docker daemon >&2; exit 1\n"
    )
    docker.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/sock")
        done = subprocess.run(
            ["sh", "-c", text.replace("/var/run/docker.sock", f"{tmp_path}/sock")],
            input="salt\n",
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == code, done.stderr
    assert ("end" in done.stdout.split()) is (code == 0)
    assert ("stopped answering" in done.stderr) is (code == 1)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (
            True,
            [
                "uplift: redis: another change of this container runs",
                "a replacement of container redis is at work",
            ],
        ),
        (False, ["begun", "held"]),
    ],
)
def test_one_change_of_a_container_at_a_time_and_no_backup_of_it_meanwhile(
    tmp_path: Path, held: bool, said: list[str]
) -> None:
    texts = [f"name=redis\n{BASE}\necho begun"]
    hold = backup_script._BASE
    hold = hold[hold.index("hold_container() {") : hold.index("state_of() {")]
    texts.append(
        f"die() {{ echo $*; exit 1; }}; container=redis\n{hold}\nhold_container; echo held"
    )
    found = []
    (tmp_path / "redis").mkdir()
    with (tmp_path / "redis/lock").open("w") as lock:
        if held:
            fcntl.flock(lock, fcntl.LOCK_EX)
        for text in texts:
            for word in ("@state@", "@secrets@", "@containers@"):
                text = text.replace(word, str(tmp_path))
            text = re.sub(r"flock -w \d+", "flock -w 0", text)
            done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
            assert (done.returncode != 0) is held, done.stderr
            found.append(done.stdout.strip())
    assert found == said
