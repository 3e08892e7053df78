"""The scripts that read and publish, run by this machine's shell with clients that are played."""

from __future__ import annotations

import base64
import hashlib
import secrets
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from uplift.facts.packages import Found, questions_input
from uplift.facts.packages import Packages as Read
from uplift.facts.script import HiddenInput
from uplift.index import packages as index
from uplift.operations import packages_script as sender
from uplift.operations.http import answers
from uplift.operations.packages_script import Publish, Sending
from uplift.spec.http import Trouble
from uplift.spec.packages import Artifact, Packages, Sum
from uplift.spec.packages.served import Questions, questions
from uplift.spec.secret import Secret

# With what a shell, a header and a configuration could misread.
PASSWORD = secrets.token_hex(8) + """ "'$(id)\\%s:`é"""
LOGIN = {"username": "deployer", "password": {"secret": "nexus/deployer"}}
URL = "http://nexus.example.com:8081/repository"
TOOLS = ("base64", "cat", "cut", "date", "env", "gzip", "head", "mktemp", "rm", "sh", "sha256sum")
TOOLS += ("sleep", "tail", "tar", "timeout", "tr")


@pytest.fixture
def settings(tmp_path: Path) -> Packages:
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in ("a-1.0.tar.gz", "notes"):
        (folder / name).write_bytes(name.encode())
    manifest = folder / "package/package.json"
    manifest.parent.mkdir()
    manifest.write_text('{"name": "@s/t", "version": "1.0.0"}')
    subprocess.run(["tar", "-C", folder, "-czf", folder / "t.tgz", "package"], check=True)
    repositories = {
        "py": {"format": "pypi", "url": f"{URL}/py", **LOGIN},
        "js": {"format": "npm", "url": f"{URL}/js", **LOGIN},
        "raw": {"format": "raw", "url": f"{URL}/raw", **LOGIN},
    }
    publish = [
        {"name": "a", "repository": "py", "files": [str(folder / "a-1.0.tar.gz")]},
        {"name": "t", "repository": "js", "files": [str(folder / "t.tgz")]},
        {"name": "n", "repository": "raw", "files": [str(folder / "notes")], "path": "docs"},
    ]
    return Packages.parse({"repositories": repositories, "publish": publish}, path="packages")


@pytest.fixture
def artifacts(settings: Packages) -> tuple[Artifact, ...]:
    return index.collect(settings)


PASSWORDS = dict.fromkeys(("py", "js", "raw"), Secret(PASSWORD))


def run(folder: Path, command: str, stdin: HiddenInput | str, clients: Mapping[str, str]) -> str:
    """Run a fact's command with nothing but plain tools and the clients that are given."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    for tool in TOOLS:
        if not (tools / tool).exists():
            (tools / tool).symlink_to(f"/usr/bin/{tool}")
    for name, script in clients.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    # The script adds /usr/local/bin, which this machine may have clients in: theirs come first.
    done = subprocess.run(
        ["/usr/bin/env", *shlex.split(command)],
        input=stdin if isinstance(stdin, str) else "".join(stdin),
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert PASSWORD not in done.stdout + done.stderr + command
    return done.stdout


def read(
    folder: Path, settings: Packages, artifacts: tuple[Artifact, ...], clients: Mapping[str, str]
) -> tuple[Found, Questions]:
    asked = questions(settings, artifacts, PASSWORDS)
    command = Read().command(URL).get_raw_value()
    output = run(folder, command, questions_input(asked.sums, asked.config), clients)
    return Read().process(output.splitlines()), asked


CURL = r"""
config=$(cat); echo "$@" >>"$0.args"; printf '%s\n' "$config" >>"$0.config"
case $config in
  *stderr*) printf 'content\n\0of it'; printf '\n200 0\n' >&2 ;;
  *) printf '%s\n' "$config" | while read -r line; do
       case $line in url*) printf 'page\n200 0 4 text/html\n' ;; esac
     done ;;
esac
"""


def test_pages_come_back_and_raw_files_as_their_hash(
    tmp_path: Path, settings: Packages, artifacts: tuple[Artifact, ...]
) -> None:
    found, asked = read(tmp_path, settings, artifacts, {"curl": CURL, "uv": "", "npm": ""})
    assert found.tools >= {"curl", "tar", "uv", "npm"}
    assert found.sums == (Sum(200, 0, hashlib.sha256(b"content\n\0of it").hexdigest()),)
    got = answers(found.sent, [one.request for one in asked.pages])
    assert [one.body for one in got.responses] == [b"page"] * len(asked.pages) == [b"page"] * 5
    assert (tmp_path / "bin/curl.args").read_text() == "-q --config -\n" * 2
    shown = (tmp_path / "bin/curl.config").read_text()
    assert "/repository/raw/docs/notes" in shown
    assert shown.count("user = ") == 6


def test_a_host_without_curl_is_told_apart(
    tmp_path: Path, settings: Packages, artifacts: tuple[Artifact, ...]
) -> None:
    asked = questions(settings, artifacts[:1], PASSWORDS)
    if Path("/usr/local/bin/curl").exists():
        pytest.skip("this machine has a curl of its own in /usr/local/bin")
    output = run(
        tmp_path, Read().command(URL).get_raw_value(), questions_input(asked.sums, asked.config), {}
    )
    found = Read().process(output.splitlines())
    assert answers(found.sent, []).trouble is Trouble.NO_CURL


def test_output_that_was_cut_off_is_no_state() -> None:
    for lines in ([], ["tool uv"], ["end"], ["http no-curl"]):
        with pytest.raises(FactProcessError):
            Read().process(lines)


# Publishing. Each client notes its arguments, its input, its environment and the file.

NOTE = r"""
me=$0
{ echo "$@"; } >"$me.args"; cat >"$me.input"; env >"$me.env"
for word in "$@"; do case $word in ./*) cat "$word" >"$me.file"; esac; done
file=$(sed -n 's/^upload-file = "\(.*\)"$/\1/p' "$me.input")
[ -z "$file" ] || cat "$file" >"$me.file"
"""
CLIENTS = {"uv": NOTE, "npm": NOTE, "curl": NOTE, "sed": 'exec /usr/bin/sed "$@"'}


def publish(
    folder: Path,
    settings: Packages,
    artifacts: tuple[Artifact, ...],
    clients: Mapping[str, str] = CLIENTS,
) -> tuple[Sending, ...]:
    stdin = sender.script_input(settings, artifacts, PASSWORDS)
    output = run(folder, Publish().command().get_raw_value(), stdin, clients)
    return Publish().process(output.splitlines())


def test_each_client_gets_its_file_and_its_login_and_no_argument_holds_it(
    tmp_path: Path, settings: Packages, artifacts: tuple[Artifact, ...]
) -> None:
    assert publish(tmp_path, settings, artifacts) == (Sending(0, ""),) * 3
    notes = {
        f"{name}.{what}": (tmp_path / f"bin/{name}.{what}").read_text(errors="replace")
        for name in ("uv", "npm", "curl")
        for what in ("args", "input", "env")
    }
    coded = base64.b64encode(f"deployer:{PASSWORD}".encode()).decode()
    assert f"--publish-url {URL}/py/ ./0/a-1.0.tar.gz" in notes["uv.args"]
    assert f"UV_PUBLISH_PASSWORD={PASSWORD}" in notes["uv.env"].splitlines()
    assert notes["npm.input"] == f"//nexus.example.com:8081/repository/js/:_auth={coded}\n"
    assert "--tag latest --ignore-scripts" in notes["npm.args"]
    assert f'url = "{URL}/raw/docs/notes"' in notes["curl.input"]
    for name in ("uv", "npm", "curl"):
        assert PASSWORD not in notes[f"{name}.args"]
        assert coded not in notes[f"{name}.args"]
    # One environment has it: that of the client which takes it from there.
    assert PASSWORD not in notes["npm.env"] + notes["curl.env"] + notes["uv.input"]
    for one, name in zip(artifacts, ("uv", "npm", "curl"), strict=True):
        assert (tmp_path / f"bin/{name}.file").read_bytes() == one.path.read_bytes()


def test_nothing_is_left_on_the_host(
    tmp_path: Path, settings: Packages, artifacts: tuple[Artifact, ...]
) -> None:
    publish(tmp_path, settings, artifacts)
    home = next(
        line.removeprefix("HOME=")
        for line in (tmp_path / "bin/npm.env").read_text().splitlines()
        if line.startswith("HOME=")
    )
    assert home.startswith("/var/tmp/uplift-publish.")
    assert not Path(home).exists()


def test_after_a_failure_the_rest_is_not_tried(
    tmp_path: Path, settings: Packages, artifacts: tuple[Artifact, ...]
) -> None:
    broken = {**CLIENTS, "npm": "echo 'npm ERR! 400 no' >&2; exit 3"}
    assert publish(tmp_path, settings, artifacts, broken) == (
        Sending(0, ""),
        Sending(3, "npm ERR! 400 no"),
    )
    assert not (tmp_path / "bin/curl.args").exists()


@pytest.mark.parametrize("kept", [3, 500, -6])
def test_input_that_was_cut_off_is_an_error(
    tmp_path: Path, settings: Packages, artifacts: tuple[Artifact, ...], kept: int
) -> None:
    stdin = "".join(sender.script_input(settings, artifacts, PASSWORDS))[:kept]
    output = run(tmp_path, Publish().command().get_raw_value(), stdin, CLIENTS)
    with pytest.raises(FactProcessError, match="run again"):
        Publish().process(output.splitlines())


def test_a_large_file_arrives_whole(tmp_path: Path, settings: Packages) -> None:
    content = secrets.token_bytes(300_001)
    (tmp_path / "dist/notes").write_bytes(content)
    index._BUILT.clear()
    raw = index.collect(settings)[2:]
    publish(tmp_path, settings, raw)
    assert (tmp_path / "bin/curl.file").read_bytes() == content
