"""The script that sends requests, run by this machine's shell with a curl that is played."""

from __future__ import annotations

import base64
import secrets
import shlex
import subprocess
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from uplift.facts.http import Http, HttpEach, Sent
from uplift.operations.http import answers
from uplift.spec.http import Header, Request, Trouble, render
from uplift.spec.secret import Secret

GET = Request("GET", "/a")
TOKEN = secrets.token_hex(16)


def send(tmp_path: Path, curl: str | None, wait: int = 0, ready: str = "") -> tuple[Sent, str]:
    """Run the fact's command; return what it found, and all that it printed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("cat", "gzip", "base64", "timeout", "date", "sleep", "sh", "wc"):
        (folder / tool).symlink_to(f"/usr/bin/{tool}")
    if curl is not None:
        (folder / "curl").write_text(f"#!/bin/sh\n{curl}\n")
        (folder / "curl").chmod(0o755)
    command = Http().command("http://127.0.0.1:1", limit=2, wait=wait, ready=ready).get_raw_value()
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


def each(tmp_path: Path, needs: list[str], statuses: list[str]) -> list[str]:
    """Send requests one after the other; return for each what came of it, and count calls."""
    curl = tmp_path / "curl"
    given = "\n".join(f"{n}) printf '{it}' ;;" for n, it in enumerate(statuses, 1))
    calls = tmp_path / "calls"
    curl.write_text(
        f"#!/bin/sh\ncat >/dev/null; echo x >>{calls}\n"
        f'case $(wc -l <{calls}) in\n{given}\nesac\nexit "${{code:-0}}"\n'
    )
    curl.chmod(0o755)
    calls.write_text("")
    lines = [
        f"{it} {base64.b64encode(render([GET], 'http://h').encode()).decode()}" for it in needs
    ]
    done = subprocess.run(
        shlex.split(HttpEach().command(limit=2).get_raw_value()),
        input="\n".join([*lines, ""]),
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = HttpEach().process(done.stdout.splitlines())
    shown = [
        "skipped" if it is None else str((answers(it, [GET]).responses or ["broken"])[0])
        for it in found
    ]
    assert shown.count("skipped") == len(needs) - len(calls.read_text().split())
    return [it if it in ("skipped", "broken") else it.split("status=")[1][:3] for it in shown]


OK, REFUSED, LOST = r"\n204 0 0 \n", r"{}\n400 0 2 x\n", r"\n000 52 0 \n"


@pytest.mark.parametrize(
    ("needs", "said", "came"),
    [
        (["-", "0", "0,1"], [OK, OK, OK], ["204", "204", "204"]),
        (["-", "0", "-"], [REFUSED, OK], ["400", "skipped", "204"]),
        (["-", "-", "0", "2", "1"], [REFUSED, OK, OK], ["400", "204", "skipped", "skipped", "204"]),
        # A body that looks like our last line changes nothing.
        (["-", "0"], [r"\n204 0 0 \n\n400 0 10 x\n", OK], ["400", "skipped"]),
        # Without an answer none can be expected to the rest.
        (["-", "-", "-"], [OK, LOST], ["204", "broken", "skipped"]),
    ],
)
def test_what_needs_a_refused_request_is_left_out_and_the_rest_is_sent(
    tmp_path: Path, needs: list[str], said: list[str], came: list[str]
) -> None:
    assert each(tmp_path, needs, said) == came


def test_it_waits_until_the_service_says_that_it_is_ready(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    script = (
        'case "$*" in *--config*) cat >/dev/null; printf "\\n200 0 0 \\n"; exit ;; esac\n'
        f'echo "$*" >>{asked}\n'
        f"case $(wc -l <{asked}) in\n"
        "1) exit 52 ;; 2) printf 404 ;; 3) printf 503 ;; *) printf 200 ;; esac"
    )
    found, _ = send(tmp_path, script, wait=30, ready="http://127.0.0.1:1/ready")
    assert answers(found, [GET]).responses[0].status == 200
    lines = asked.read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].endswith("http://127.0.0.1:1/ready")
