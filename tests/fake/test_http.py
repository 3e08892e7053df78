"""The script that sends requests, run by this machine's shell with a curl that is played."""

from __future__ import annotations

import secrets
import shlex
import subprocess
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from uplift.facts.http import Http, Sent
from uplift.operations.http import answers
from uplift.spec.http import Header, Request, Trouble, render
from uplift.spec.secret import Secret

GET = Request("GET", "/a")
TOKEN = secrets.token_hex(16)


def send(tmp_path: Path, curl: str | None, wait: int = 0) -> tuple[Sent, str]:
    """Run the fact's command; return what it found, and all that it printed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("cat", "gzip", "base64", "timeout", "date", "sleep", "sh"):
        (folder / tool).symlink_to(f"/usr/bin/{tool}")
    if curl is not None:
        (folder / "curl").write_text(f"#!/bin/sh\n{curl}\n")
        (folder / "curl").chmod(0o755)
    command = Http().command("http://127.0.0.1:1", limit=2, wait=wait).get_raw_value()
    assert TOKEN not in command
    done = subprocess.run(
        ["/usr/bin/env", *shlex.split(command)],
        input=render([GET], "http://127.0.0.1:1", Header("A", Secret(TOKEN))),
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return Http().process(done.stdout.splitlines()), done.stdout + done.stderr


def test_the_answer_comes_back_byte_for_byte(tmp_path: Path) -> None:
    found, _ = send(tmp_path, r"cat >/dev/null; printf '\n\0\377\n\n200 0 4 text/x\n'")
    (response,) = answers(found, [GET]).responses
    assert (response.status, response.body) == (200, b"\n\0\xff\n")


def test_curl_gets_the_configuration_and_no_argument_names_a_secret(tmp_path: Path) -> None:
    script = f'echo "$@" >{tmp_path}/args; cat >{tmp_path}/config; printf "\\n204 0 0 \\n"'
    found, shown = send(tmp_path, script)
    assert answers(found, [GET]).responses[0].status == 204
    assert TOKEN in (tmp_path / "config").read_text()
    assert (tmp_path / "args").read_text() == "-q --config -\n"
    assert TOKEN not in shown


def test_a_host_without_curl_is_told_apart(tmp_path: Path) -> None:
    found, _ = send(tmp_path, None)
    assert answers(found, [GET]).trouble is Trouble.NO_CURL


def test_nothing_that_listens_is_told_apart(tmp_path: Path) -> None:
    found, _ = send(tmp_path, 'cat >/dev/null; printf "\\n000 7 0 \\n"; exit 7')
    assert answers(found, [GET]).trouble is Trouble.NOTHING_LISTENS


def test_requests_that_take_too_long_together_are_ended(tmp_path: Path) -> None:
    found, _ = send(tmp_path, "exec sleep 60")
    assert answers(found, [GET]).trouble is Trouble.TIMEOUT


def test_it_waits_until_something_listens(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    script = (
        'case "$*" in *--config*) cat >/dev/null; printf "\\n200 0 0 \\n"; exit ;; esac\n'
        f'echo x >>{asked}; [ "$(cat {asked})" = "$(printf "x\\nx\\nx")" ] || exit 7'
    )
    found, _ = send(tmp_path, script, wait=30)
    assert answers(found, [GET]).responses[0].status == 200
    assert asked.read_text() == "x\n" * 3


@pytest.mark.parametrize("line", ["http", "http !", "http aGk=", "other", ""])
def test_output_that_was_cut_off_is_not_taken_for_answers(line: str) -> None:
    with pytest.raises(FactProcessError, match=r"cut off|no answers"):
        Http().process([line])


def test_answers_do_not_show_themselves() -> None:
    assert TOKEN not in repr(Sent(curl=True, raw=TOKEN.encode()))
