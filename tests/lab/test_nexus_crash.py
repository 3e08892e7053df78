"""A real Nexus whose controller is killed between two writes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.lab.conftest import ssh_words
from tests.lab.nexus_box import (
    LOG,
    PROJECT,
    Deploy,
    Shell,
    Start,
    given,
    in_variables,
    log,
    logged,
    words,
    writes,
)
from tests.lab.nexus_wanted import BLOCK

pytest_plugins = ["tests.lab.nexus_box"]
pytestmark = [pytest.mark.slow, pytest.mark.crash]

KILLED_AFTER = (1, 2, 7)
"""Writes that the server has logged of a run; the first of the first run is the password."""


@contextmanager
def followed(host: dict[str, Any]) -> Iterator[Iterator[str]]:
    """Follow the server's request log, line by line as it is written."""
    follow = subprocess.Popen(
        [*ssh_words(host), f"sudo tail -n 0 -F {LOG} 2>/dev/null"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert follow.stdout is not None
        time.sleep(1)  # until it is there
        yield iter(follow.stdout)
    finally:
        follow.kill()
        follow.wait()


def killed_after(count: int, box: str, environment: dict[str, str], lines: Iterator[str]) -> None:
    """Run the deploy, and kill it as soon as the server has logged so many writes."""
    run = subprocess.Popen(
        words(box),
        cwd=PROJECT,
        env={**environment, **given(BLOCK), **in_variables()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for line in lines:
            count -= len(writes(line))
            if count <= 0:
                break
    finally:
        os.killpg(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL


def test_a_controller_that_is_killed_between_two_writes_leaves_what_the_next_run_completes(
    start: Start,
    deploy: Deploy,
    shell: Shell,
    box: str,
    hosts: list[dict[str, Any]],
    environment: dict[str, str],
) -> None:
    start("3.30.0")
    # The log begins anew with the first request.
    shell(f"until [ -e {LOG} ]; do sleep 1; done")
    made: list[str] = []
    for count in KILLED_AFTER:
        before = logged(shell)
        with followed(hosts[0]) as lines:
            killed_after(count, box, environment, lines)
        # Its script on the host ends by itself at the next answer that it cannot give.
        shell("while pgrep -f '[e]ach \"[$]1\"' >/dev/null; do sleep 0.2; done; sleep 1")
        some = writes(log(shell, before))
        assert len(some) >= count
        made += some
    looked = deploy(dry=True)
    assert (looked.code, looked.writes) == (0, []), looked.output
    rest = deploy()
    assert rest.code == 0, rest.output
    assert rest.writes, "each run was killed too late"
    # Nothing was made twice, and each object once. What is sent again is what the server hides.
    kinds = [it for it in made + rest.writes if it.startswith("POST /repositories/")]
    assert len(kinds) == len(BLOCK["repositories"])
    assert made.count("PUT /security/users/admin/change-password") == 1
    assert "PUT /security/users/admin/change-password" not in rest.writes
    again = deploy()
    assert (again.code, again.changed, again.writes) == (0, False, []), again.output
