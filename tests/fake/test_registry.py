"""The operation registry.present, on hosts that answer from a recording."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
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

from uplift import authority
from uplift.operations import registry
from uplift.secrets import forget
from uplift.spec.registry import Registry
from uplift.spec.secret import secret

WORD = "needle-in-the-script"
SETTINGS = Registry.parse(
    {
        "users": [{"name": "ci", "password": secret("registry/ci")}],
        "tls": {"names": ["r.example"]},
        "image": "redis:8",
    },
    path="registry",
)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project folder of its own: the CA stands there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPLIFT_SECRET_REGISTRY_CI", WORD)
    forget()
    yield
    forget()
    for context in (ctx_state, ctx_host, ctx_config):
        context.reset()


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def good() -> dict[str, str]:
    """The files of a registry as they should be."""
    certificate, key = authority.own().sign(["r.example"], datetime.now(UTC))
    htpasswd = f"ci:{registry._hashed(WORD)}\n"
    return {"htpasswd": htpasswd, "tls.crt": certificate, "tls.key": key.reveal()}


def server(files: dict[str, str], *, changed: int = 5, docker: str = "yes") -> str:
    lines = [f"file {name} file 600 0:0 {changed} -{coded(text)}" for name, text in files.items()]
    return "\n".join([f"docker {docker}", "started 10", "folder 700 0:0", *lines, "end"])


def containers() -> str:
    image = {"Id": IMAGE.id, "RepoDigests": [f"redis@{OLD}"], "Config": IMAGE.config}
    answer = coded(json.dumps({"Descriptor": {"digest": OLD}}))
    return "\n".join(
        [
            "busy ",
            "docker yes",
            "limits true true true",
            f"resolve redis:8 {IMAGE.id} 200 {answer}",
            f"containers {coded(json.dumps([inspect(SETTINGS.container())]))}",
            f"images {coded(json.dumps([image]))}",
            "end",
        ]
    )


def prepared(said: str) -> State:
    responses = {"uplift-registry-*": said, "uplift-container-*": containers()}
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": responses}
    state = State(Inventory((["@fake/box"], data)), Config())
    connect_all(state)
    return state


def apply(said: str) -> tuple[Any, list[str]]:
    """Run the operation once on a host whose fact says this."""
    state = prepared(said)
    (meta,) = add_op(state, registry.present, name="Registry", settings=SETTINGS).values()
    run_ops(state)
    return meta, state.inventory.get_host("@fake/box").connector.executed_commands


def commands(said: str, settings: Registry = SETTINGS) -> list[StringCommand]:
    """The commands that the operation yields, unmasked."""
    state = prepared(said)
    with ctx_state.use(state), ctx_host.use(state.inventory.get_host("@fake/box")):
        return list(registry.present._inner(settings=settings))


def stdin_of(command: StringCommand) -> str:
    return "".join(command.connector_arguments["_stdin"].readlines())


def test_a_registry_as_wanted_costs_two_remote_commands_a_time_and_changes_nothing() -> None:
    meta, ran = apply(server(good()))
    assert not meta.did_change()
    # Twice while preparing, twice while running.
    assert len(ran) == 4


def test_a_changed_password_is_one_write_and_no_restart() -> None:
    files = {**good(), "htpasswd": f"ci:{registry._hashed('other')}\neve:x\n"}
    (write,) = commands(server(files))
    assert [line.split()[0] for line in stdin_of(write).splitlines()] == ["htpasswd", "end"]


def test_a_changed_certificate_is_written_with_its_key_and_the_server_restarted() -> None:
    files = {**good(), "tls.crt": authority.own(Path("elsewhere")).certificate}
    write, restart = commands(server(files))
    words = [line.split()[0] for line in stdin_of(write).splitlines()]
    assert words == ["tls.crt", "tls.key", "end"]
    assert "docker restart" in stdin_of(restart)


def test_a_server_that_began_before_its_certificate_came_is_restarted() -> None:
    (restart,) = commands(server(good(), changed=99))
    assert "docker restart" in stdin_of(restart)


def test_no_secret_is_in_a_command() -> None:
    (write, *_) = commands(server({}))
    assert "_stdin" in write.connector_arguments
    text = stdin_of(write)
    sent = dict(line.split() for line in text.splitlines() if " " in line)
    key = base64.b64decode(sent["tls.key"]).decode()
    # The positive control: the key is in the input.
    assert "PRIVATE KEY" in key
    for shown in (write.get_raw_value(), repr(write.connector_arguments)):
        assert sent["tls.key"] not in shown and WORD not in shown
    # A password itself is nowhere but on the controller.
    assert WORD not in base64.b64decode(sent["htpasswd"]).decode()


def test_a_password_that_bcrypt_would_cut_is_refused_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UPLIFT_SECRET_REGISTRY_CI", "x" * 73)
    (command,) = commands(server(good()))
    assert "longer than 72 bytes" in command.get_raw_value()
    assert "exit 64" in command.get_raw_value()


@pytest.mark.parametrize("text", [registry._WRITE, registry._RESTART])
def test_the_scripts_are_shell(text: str) -> None:
    done = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def write(folder: Path, payload: str, *remove: str) -> subprocess.CompletedProcess[str]:
    """Run the writing script on a folder of this machine, as a user who owns it."""
    text = registry._WRITE.replace(registry.FOLDER, str(folder)).replace("chown 0:0", "test -d")
    return subprocess.run(
        ["sh", "-c", text, "uplift", *remove],
        input=payload, text=True, capture_output=True, check=False,
    )  # fmt: skip


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    assert write(folder, registry._payload({"htpasswd": "a\n", "tls.crt": "b"})).returncode == 0
    assert (folder / "htpasswd").read_text() == "a\n"
    assert (folder / "htpasswd").stat().st_mode & 0o777 == 0o600
    half = registry._payload({"htpasswd": "new"}).removesuffix("end\n")
    cut = write(folder, half)
    assert cut.returncode == 1 and "cut off: run again" in cut.stderr
    assert (folder / "htpasswd").read_text() == "a\n"
    assert write(folder, "end\n", "tls.crt").returncode == 0
    assert [file.name for file in folder.iterdir()] == ["htpasswd"]
