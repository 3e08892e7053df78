"""A real Nexus, and secrets that must show nowhere while it is configured."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.lab.leaks import forms
from tests.lab.nexus_box import FIRST, PROJECT, RECORD, Deploy, Shell, Start
from tests.lab.nexus_wanted import BLOCK, VALUES

from uplift.secrets.files import FOLDER
from uplift.secrets.providers import LAB_FILE, Lab
from uplift.spec.secret import Secret

pytest_plugins = ["tests.lab.nexus_box"]
# Minutes of start and of writes.
pytestmark = pytest.mark.slow

STOP, SEEN = "/run/uplift-test-stop", "/run/uplift-test-seen"
WORDS = "/run/uplift-test-words"
# As fast as it can: command line and variables of every process, and what nobody may read of the
# files that were written meanwhile. The words stand in a file of root alone.
SAMPLER = f"""
umask 077  # what it says is no file of others
while [ ! -e {STOP} ]; do
  cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -aoF -f {WORDS} |
    sed 's/^/argument /' >>{SEEN}
  cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -aoF -f {WORDS} |
    sed 's/^/variable /' >>{SEEN}
  runuser -u nobody -- find /dev/shm /etc /home /opt /root /run /srv /tmp /var -xdev -type f \\
    -newer {WORDS} -readable -print0 2>/dev/null | xargs -0 -r cat 2>/dev/null |
    grep -aoF -f {WORDS} | sed 's/^/file /' >>{SEEN}
  echo round >>{SEEN}
done
"""


class Here:
    """A sampler of this machine: processes, and files of the project and of the run's own folder.

    Args:
        roots: folders whose files are read, when others may read them.
        values: to look for.
    """

    def __init__(self, roots: list[Path], values: list[str]) -> None:
        self.roots = roots
        self.forms = [form.encode() for value in values for form in forms(value)]
        self.seen: set[tuple[str, bytes]] = set()
        self.rounds = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Here:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            for kind, content in (*self._processes(), *self._files()):
                self.seen |= {(kind, form) for form in self.forms if form in content}
            self.rounds += 1

    def _processes(self) -> Iterator[tuple[str, bytes]]:
        for folder in Path("/proc").glob("[0-9]*"):
            for kind, name in (("argument", "cmdline"), ("variable", "environ")):
                try:
                    yield kind, (folder / name).read_bytes()
                except OSError:
                    continue  # it has ended

    def _files(self) -> Iterator[tuple[str, bytes]]:
        for root in self.roots:
            for folder, inner, names in os.walk(root):
                inner[:] = [name for name in inner if name not in (".git", ".venv")]
                for path in (Path(folder, name) for name in names):
                    try:
                        if path.stat().st_mode & 0o044 and path.stat().st_size < 1_000_000:
                            yield "file", path.read_bytes()
                    except OSError:
                        continue  # it is gone

    def kinds(self, value: str) -> set[str]:
        """Return where a value was seen."""
        wanted = {form.encode() for form in forms(value)}
        return {kind for kind, form in self.seen if form in wanted}


@pytest.fixture
def kept() -> Iterator[dict[str, str]]:
    """Secrets in the file of the lab's own, by name: in no variable of any process."""
    path = PROJECT / FOLDER / LAB_FILE
    before = path.read_bytes() if path.exists() else None
    some = f"test-{secrets.token_hex(4)}"
    lab = Lab(PROJECT)
    for name, value in VALUES.items():
        lab.put(f"{some}/{name.lower()}", Secret(value))
    yield {f"n/{name.lower()}": f"{some}/{name.lower()}" for name in VALUES}
    path.unlink() if before is None else path.write_bytes(before)


def from_the_lab(block: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return settings with references to secrets of the lab."""

    def changed(it: dict[str, Any]) -> dict[str, Any]:
        return {"secret": names[it["secret"]], "generate": True} if "secret" in it else it

    found: dict[str, Any] = json.loads(json.dumps(block), object_hook=changed)
    return found


@contextmanager
def planted(canary: str, folder: Path) -> Iterator[None]:
    """Show a value on this machine in each way that is looked for."""
    (folder / "canary").write_text(canary)
    (folder / "canary").chmod(0o644)
    packed = base64.b64encode(f"x{canary}x".encode()).decode()
    process = subprocess.Popen(
        ["sh", "-c", "sleep 1000; :", packed], env={"PATH": os.environ["PATH"], "CANARY": canary}
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def sampled(shell: Shell, start: Start) -> Iterator[str]:
    """An empty server, and a sampler at work on its host; its first password."""
    start("3.30.0")
    shell(f"rm -f {STOP} {SEEN} {WORDS}; umask 077; : >{WORDS}")
    yield shell(f"until cat {FIRST} 2>/dev/null; do sleep 1; done")
    shell(f": >{STOP}; sleep 1; rm -f {STOP} {SEEN} {WORDS} /tmp/uplift-test-canary")


def looked_for(shell: Shell, values: list[str], canary: str) -> None:
    """Begin to sample the host for values; each comes by standard input of a shell's builtin."""
    lines = sorted(form for value in values for form in forms(value))
    # In base64 of it all, which is none of the forms.
    packed = base64.b64encode(base64.b64encode("\n".join([*lines, ""]).encode())).decode()
    shell(f"printf %s {packed} | base64 -d | base64 -d >{WORDS}")
    plant = f"sleep 1000; : {canary}"
    unit = "systemd-run --quiet --collect --unit"
    shell(
        f"{unit}=uplift-test-canary --setenv=CANARY={canary} sh -c {shlex.quote(plant)};"
        f"printf %s {canary} >/tmp/uplift-test-canary; chmod 644 /tmp/uplift-test-canary;"
        f"{unit}=uplift-test-sampler sh -c {shlex.quote(SAMPLER)}"
    )


def test_no_secret_shows_on_the_host_or_on_the_controller_while_nexus_is_configured(
    sampled: str, kept: dict[str, str], deploy: Deploy, shell: Shell, tmp_path: Path
) -> None:
    canary = f"canary{secrets.token_hex(12)}"
    values = [*VALUES.values(), sampled]
    looked_for(shell, [*values, canary], canary)
    folder = tmp_path / "temporary"
    folder.mkdir(mode=0o755)
    block = from_the_lab(BLOCK, kept)
    with planted(canary, folder), Here([folder, PROJECT], [*values, canary]) as here:
        done = deploy(block, "-vvv", "--debug", variables={"TMPDIR": str(folder)})
        again = deploy(block, variables={"TMPDIR": str(folder)})
    seen = shell(f": >{STOP}; systemctl stop uplift-test-canary; sleep 2; sort {SEEN} | uniq -c")
    assert done.code == 0, done.output
    assert (again.code, again.writes) == (0, []), again.output
    places = {
        "output": done.output + again.output,
        "host": seen,
        "journal": shell("journalctl -o cat --no-pager --since -15min"),
        "record": shell(f"cat {RECORD}"),
        "docker": shell("docker inspect $(docker ps -aq)"),
    }
    for number, value in enumerate(values):
        # Not the value itself: this text is shown.
        assert here.kinds(value) == set(), f"value {number}"
        for place, text in places.items():
            assert not [form for form in forms(value) if form in text], f"{place}: value {number}"
    # The positive controls: what is no secret is found by the same scans, in each place.
    assert here.kinds(canary) == {"argument", "variable", "file"}
    assert here.rounds > 5
    assert f"argument {canary}" in seen
    assert f"variable {canary}" in seen
    assert f"file {canary}" in seen
    assert int(seen.split(" round")[0].split()[-1]) > 5
    assert canary in places["journal"]
    assert "nexus: user admin: password set" in places["output"]
    assert "pypi-public" in places["record"]
