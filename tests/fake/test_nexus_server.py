"""The operation nexus_server.running, on a host that answers from a recording."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from container_double import IMAGE, OLD, inspect
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_state

from uplift import authority
from uplift.facts import nexus_server as facts
from uplift.operations import nexus_server
from uplift.secrets import forget
from uplift.spec.nexus import tls
from uplift.spec.nexus.data import File
from uplift.spec.nexus.server import Server, container, memory

GIB = 1024**3
NEW = f"sha256:{'b' * 64}"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project folder of its own: fingerprints are made with its key."""
    monkeypatch.chdir(tmp_path)
    forget()
    yield
    forget()
    for context in (ctx_state, ctx_host, ctx_config):
        context.reset()


def settings(**fields: Any) -> Server:
    return Server.parse({"image": "nexus:3.30.0", "data": "/srv/nexus", **fields}, path="nexus")


def coded(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.b64encode(text.encode()).decode()


def look(it: Server, *more: str, digest: str = OLD, there: bool = True) -> str:
    """What the fact says of a server that is as it shall be, then what ``more`` says."""
    image = {"Id": IMAGE.id, "RepoDigests": [f"nexus@{OLD}"], "Config": IMAGE.config}
    real = inspect(container(settings(), memory(it, 8 * GIB)))
    # The double is Redis: what its image brings is not Nexus's.
    real["Mounts"] = [one for one in real["Mounts"] if one["Destination"] == "/nexus-data"]
    return "\n".join(
        [
            "busy ",
            "docker yes",
            "limits true true true",
            f"resolve {it.image} {IMAGE.id} 200 {coded({'Descriptor': {'digest': digest}})}",
            f"containers {coded([real] if there else [])}",
            f"images {coded([image])}",
            "nexus-memory 8388608",
            "nexus-owner 200:200",
            "nexus-foreign 0",
            "nexus-databases component config security",
            "nexus-used yes",
            f"nexus-properties {coded('a=b')}",
            *more,
            "end",
        ]
    )


def prepared(said: str, traces: str = "", end: str = "end") -> State:
    # Words that only one of the two scripts has.
    responses = {"nexus_look": said, "Started Sonatype Nexus": f"{traces}\n{end}"}
    data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": responses}
    state = State(Inventory((["@fake/box"], data)), Config())
    connect_all(state)
    return state


def apply(it: Server, said: str, traces: str = "") -> tuple[Any, list[str]]:
    """Run the operation once on a host whose facts say this."""
    state = prepared(said, traces)
    (meta,) = add_op(state, nexus_server.running, name="Nexus", server=it).values()
    run_ops(state)
    return meta, state.inventory.get_host("@fake/box").connector.executed_commands


def yielded(it: Server, said: str, traces: str = "") -> list[str]:
    """The commands that the operation yields, their standard input included."""
    state = prepared(said, traces)
    host = state.inventory.get_host("@fake/box")
    with ctx_state.use(state), ctx_host.use(host):
        found = list(nexus_server.running._inner(server=it))
    return [_words(command) for command in found]


def _words(command: Any) -> str:
    hidden = command.connector_arguments.get("_stdin")
    return command.get_raw_value() + "".join(hidden.readlines() if hidden else ())


def test_a_server_as_wanted_costs_one_remote_command_and_changes_nothing() -> None:
    meta, commands = apply(settings(), look(settings()))
    assert not meta.did_change()
    # Once while preparing, once while running.
    assert len(commands) == 2


def test_an_image_that_does_not_fit_is_refused_and_nothing_else_is_done() -> None:
    it = settings(image="nexus:3.71.0")
    (refusal,) = yielded(it, look(it, "nexus-owner 0:0", digest=NEW), "serves 3.30.0-01")
    assert "the data is in OrientDB" in refusal
    assert "exit 1" in refusal


def test_an_image_that_fits_is_taken_with_one_job() -> None:
    it = settings(image="nexus:3.30.2")
    (job,) = yielded(it, look(it, digest=NEW), "serves 3.30.0-01")
    assert "systemd-run" in job
    assert "image 3.30.0 -> 3.30.2" in job


@pytest.mark.parametrize("traces", ["logged 3.30.0-01", "cached 3.30.0-01", ""])
def test_an_older_image_is_refused_whatever_tells_the_version(traces: str) -> None:
    # Where there is no trace at all, the stopped container's own image tells it.
    it = settings(image="nexus:3.29.2")
    (refusal,) = yielded(it, look(it, digest=NEW), traces)
    assert "the data is of Nexus 3.30.0, and image nexus:3.29.2 is older" in refusal


def test_data_without_a_container_or_a_trace_are_not_guessed_at() -> None:
    it = settings()
    (refusal,) = yielded(it, look(it, there=False))
    assert "start it once as it ran before, or set data_version" in refusal
    it = settings(data_version="3.29.2")
    (job,) = yielded(it, look(it, there=False))
    assert "systemd-run" in job


def test_data_of_somebody_else_are_given_back_before_anything_starts() -> None:
    owner, job = yielded(settings(), look(settings(), "nexus-owner 0:0", there=False),
                         "logged 3.30.0-01")  # fmt: skip
    assert "bind:/srv/nexus 200" in owner
    assert "systemd-run" in job


def test_a_changed_property_is_written_by_the_replacement_alone() -> None:
    it = settings(properties={"x": "y"})
    (job,) = yielded(it, look(it))
    assert "nexus.properties: x none -> " in job
    assert base64.b64encode(b"a=b\nx=y\n").decode() in job


@pytest.mark.parametrize("first", [False, True])
def test_a_host_that_cannot_be_read_has_failed_and_is_left_alone(first: bool) -> None:
    it = settings(image="nexus:3.30.2")
    state = prepared("busy" if first else look(it, digest=NEW), end="cut off")
    host = state.inventory.get_host("@fake/box")
    with ctx_state.use(state), ctx_host.use(host), pytest.raises(PyinfraError, match="No hosts"):
        list(nexus_server.running._inner(server=it))


# The scripts themselves, run here.


def prepare(folder: Path, before: str, after: str) -> subprocess.CompletedProcess[str]:
    """Run the shell text that writes the properties, as the user of these tests."""
    seen = hashlib.sha256(before.encode()).hexdigest() if before else "-"
    text = nexus_server._preparation(settings(), File(after, seen, ("x",))).script
    own = f"{os.getuid()}:{os.getgid()}"
    script = f"place() {{ echo {folder}; }}\nprepare() {{\n{text.replace('200:200', own)}\n}}\n"
    return subprocess.run(
        ["sh", "-c", f'{script}prepare || {{ echo "$reason"; exit 1; }}'],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_file_is_written_whole_once_and_can_be_written_again(tmp_path: Path) -> None:
    file = tmp_path / "etc/nexus.properties"
    for _ in range(2):
        done = prepare(tmp_path, "", "a=b\n")
        assert (done.returncode, file.read_text()) == (0, "a=b\n"), done
    file.chmod(0o600)
    done = prepare(tmp_path, "a=b\n", "a=c\n")
    assert (done.returncode, file.read_text()) == (0, "a=c\n")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_a_file_that_changed_in_the_meantime_or_leads_elsewhere_is_left_alone(
    tmp_path: Path,
) -> None:
    file = tmp_path / "etc/nexus.properties"
    file.parent.mkdir()
    file.write_text("other=1\n")
    done = prepare(tmp_path, "a=b\n", "a=c\n")
    assert "changed in the meantime" in done.stdout
    assert file.read_text() == "other=1\n"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("a=b\n")
    file.unlink()
    file.symlink_to(elsewhere)
    done = prepare(tmp_path, "a=b\n", "a=c\n")
    assert "is a link" in done.stdout
    assert elsewhere.read_text() == "a=b\n"


def test_traces_are_found_in_logs_old_logs_and_the_cache(tmp_path: Path) -> None:
    word = secrets.token_hex(4)
    for folder in ("log", "cache/bundle7"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "log/nexus.log").write_text("Started Sonatype Nexus OSS 3.30.0-01\nother 3.99.0\n")
    old = b"Started Sonatype Nexus COMMUNITY 3.77.1-01\n"
    (tmp_path / "log/nexus-2026-01-01.log.gz").write_bytes(gzip.compress(old))
    (tmp_path / "cache/bundle7/bundle.info").write_bytes(
        b"\0reference:file:system/org/sonatype/nexus/nexus-bootstrap/3.29.2-02/nexus-bootstrap.jar"
    )
    command = facts.NexusTraces().command(word, f"bind:{tmp_path}", f"{word}:1").get_raw_value()
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)  # noqa: S602
    found = facts.NexusTraces().process(done.stdout.splitlines())
    assert found is not None
    assert (found.logged, found.cached) == (("3.30.0-01", "3.77.1-01"), ("3.29.2-02",))
    assert (found.serves, found.current) == ("", (3, 77, 1))


# TLS


NAMES = {"names": ["nexus.example.com"]}
LATER, EARLIER = 2 * 10**18, 10**18


def secured(*more: str, changed: int = EARLIER, packed: bytes = b"", **fields: Any) -> str:
    """What the fact says of a server with TLS whose files are as they shall be."""
    it = settings(tls=NAMES, **fields)
    properties = "".join(f"{key}={value}\n" for key, value in tls.PROPERTIES.items())
    files = {tls.KEYSTORE: packed, tls.AUTHORITY: authority.own().certificate.encode()}
    lines = [
        f"tls-file {name} {tls.RIGHTS[name]} {changed} -{base64.b64encode(text).decode()}"
        for name, text in files.items()
    ]
    real = inspect(container(it, memory(it, 8 * GIB)))
    real["Mounts"] = [one for one in real["Mounts"] if one["Destination"] != "/data"]
    return look(
        it, f"nexus-properties {coded(properties)}", f"tls-started {LATER - 1}",
        f"tls-folder {tls.FOLDER_RIGHTS}", *lines, f"containers {coded([real])}", *more,
    )  # fmt: skip


def keystore(*names: str) -> bytes:
    text, key = authority.own().sign(names, datetime.now(UTC))
    return tls.pack(tls.Material(text, key.reveal()))


def test_a_server_with_its_certificate_costs_one_remote_command_and_changes_nothing() -> None:
    said = secured(packed=keystore("nexus.example.com"))
    meta, commands = apply(settings(tls=NAMES), said)
    assert not meta.did_change()
    assert len(commands) == 2


def test_a_server_gets_its_certificate_before_the_container_that_reads_it() -> None:
    it = settings(tls=NAMES)
    write, job = yielded(it, look(it))
    assert write.startswith("sh -c") and "/etc/uplift/nexus 200" in write
    assert "\nkeystore.jks " in f"\n{write}" or "keystore.jks " in write
    assert "systemd-run" in job
    assert "nexus.properties: application-port-ssl none -> " in job


def test_a_certificate_for_other_names_is_signed_anew_and_the_server_restarted() -> None:
    it = settings(tls=NAMES)
    # The answers are a recording: the host says before and after that a newer file is there.
    said = secured(packed=keystore("other.example.com"), changed=LATER)
    write, job = yielded(it, said)
    assert "keystore.jks " in write
    assert "ca.crt " not in write.partition("\nend")[0].rpartition("uplift")[2]
    assert "systemd-run" in job and "restarted with the certificate of its files" in job


def test_a_server_that_began_before_its_certificate_came_is_restarted() -> None:
    said = secured(packed=keystore("nexus.example.com"), changed=LATER)
    (job,) = yielded(settings(tls=NAMES), said)
    assert "restarted with the certificate of its files" in job


def test_a_missing_certificate_of_yours_is_an_error_of_the_settings() -> None:
    own = {**NAMES, "certificate": "nowhere.pem", "key_file": "nowhere.key"}
    it = settings(tls=own)
    (refusal,) = yielded(it, look(it))
    assert "nexus.container.tls.certificate: nowhere.pem: No such file" in refusal
    assert "exit 64" in refusal
