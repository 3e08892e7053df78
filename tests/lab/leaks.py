"""Look for secrets everywhere while something happens: processes, files, records, output.

Every search brings its own control: a word that is planted for it must be found in the same way.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tests.lab.conftest import ssh_words

PLANTED = "what was planted"
"""The name of the control."""

LIMIT = 300  # seconds for one command on a host
_FOLDER = "/run/uplift-test-leaks"
_CANARY = "/tmp/uplift-test-canary"

# Everybody's files are read by a user who is nobody's friend. The words are in root's own file.
_READABLE = (
    "cd /; runuser -u nobody -- find /dev/shm /etc /home /opt /root /run /srv /tmp /usr/local /var "
    "-xdev -type f {newer} -readable -size -4096k -print0 2>/dev/null | xargs -0 -r cat 2>/dev/null"
)

# $1 the control, which stands in an argument, in a variable and in a file for everybody.
_SAMPLE = f"""
set -eu; umask 077
systemctl stop uplift-test-leaks 2>/dev/null || :
rm -rf {_FOLDER}; mkdir -m 711 {_FOLDER}; cd {_FOLDER}
cat >words
cat >sample <<'END'
cd {_FOLDER}
see() {{ tr '\\0' '\\n' | grep -aoF -f words | sed "s/^/$1 /" >>seen || :; }}
sh -c 'sleep 3600; :' "$1" & CANARY=$1 sleep 3600 &
(umask 022; printf %s "$1" >{_CANARY})
while :; do
  ({_READABLE.format(newer=f"-newer {_FOLDER}/words")}) | see file
  sleep 1
done &
while :; do
  cat /proc/[0-9]*/cmdline 2>/dev/null | see argument
  cat /proc/[0-9]*/environ 2>/dev/null | see variable
  echo >>rounds
done
END
systemd-run --quiet --collect --unit=uplift-test-leaks sh {_FOLDER}/sample "$1"
"""
_END = f"""
cd {_FOLDER}
i=0; until grep -q '^file ' seen || [ $i -gt 100 ]; do i=$((i+1)); sleep 0.2; done
systemctl stop uplift-test-leaks
rm -f {_CANARY}
wc -l <rounds; sort -u seen
"""


def forms(value: str) -> set[str]:
    """Return a value as it may stand somewhere: plain, in JSON, in an address, in base64.

    Of a text of several lines the longest counts: it is like no other.
    """
    value = max(value.splitlines(), key=len)
    found = {value, json.dumps(value)[1:-1], value[-16:], quote(value), quote(value, safe="")}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            packed = encode(b"-" * shift + value.encode()).decode()
            # What comes before and after decides over the signs at both ends.
            found.add(packed[4 if shift else 0 : -4])
    return found


class Words:
    """Values to look for, by a name that can be shown.

    Args:
        values: the secrets.
        planted: the control; a new one when left out.
    """

    def __init__(self, values: Mapping[str, str], planted: str = "") -> None:
        self.planted = planted or f"uplift-canary-{secrets.token_hex(12)}"
        named = {**values, PLANTED: self.planted}
        self._names = {form: name for name, value in named.items() for form in forms(value)}

    @property
    def lines(self) -> str:
        """Return all forms, for grep."""
        return "".join(f"{form}\n" for form in sorted(self._names))

    def within(self, text: str) -> set[str]:
        """Name what is in a text."""
        return {name for form, name in self._names.items() if form in text}

    def name(self, form: str) -> str:
        """Name what a form is of."""
        return self._names[form]


def within(words: Words, texts: Mapping[str, str]) -> list[str]:
    """Tell which text holds which secret, in words that show none."""
    return sorted(
        f"{place}: {name}" for place, text in texts.items() for name in words.within(text)
    )


def files_in(folder: Path) -> dict[str, str]:
    """Return the text of every file of a folder, by its name."""
    return {
        str(path.relative_to(folder)): path.read_bytes().decode(errors="replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class There:
    """A host, searched as root; words go there by standard input alone."""

    def __init__(self, host: Mapping[str, Any], words: Words) -> None:
        self.name = str(host["name"])
        self.words = words
        self._ssh = ssh_words(dict(host))

    def run(self, script: str, *args: str, stdin: str = "") -> str:
        """Run a script as root."""
        line = shlex.join(["sudo", "sh", "-c", script, "sh", *args])
        done = subprocess.run(
            [*self._ssh, line],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"{self.name}: {done.stderr}"
        return done.stdout

    def begin(self) -> None:
        """Begin to sample."""
        self.run(_SAMPLE, self.words.planted, stdin=self.words.lines)

    def end(self) -> set[tuple[str, str]]:
        """End it, and return kinds and names of what was seen."""
        rounds, *seen = self.run(_END).splitlines()
        assert int(rounds) > 5
        return {(kind, self.words.name(form)) for kind, _, form in (s.partition(" ") for s in seen)}

    def search(self, shown: Mapping[str, str]) -> dict[str, set[str]]:
        """Name what the output of commands holds, by the commands' names."""
        find = "cat >/run/uplift-test-words; {{ {0}; }} 2>&1 | grep -aoF -f /run/uplift-test-words"
        found = {}
        for name, command in shown.items():
            script = f"umask 077; {find.format(command)} | sort -u; rm /run/uplift-test-words"
            lines = self.run(script, stdin=self.words.lines).splitlines()
            found[name] = {self.words.name(line) for line in lines}
        return found


READABLE = _READABLE.format(newer="")
"""A command that shows every file which everybody can read."""


class Watch:
    """Samples hosts and this machine: arguments and variables of processes, files for everybody.

    Args:
        hosts: as the lab's status shows them.
        words: to look for.
        roots: folders of this machine whose files are read, where others may read them.
    """

    def __init__(
        self, hosts: Iterable[Mapping[str, Any]], words: Words, roots: Iterable[Path]
    ) -> None:
        self._there = [There(host, words) for host in hosts]
        self._here = _Here([*roots], words)
        self._found: dict[str, set[tuple[str, str]]] = {}

    def __enter__(self) -> Self:
        for there in self._there:
            there.begin()
        self._here.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._found["controller"] = self._here.end()
        for there in self._there:
            self._found[there.name] = there.end()

    def leaks(self) -> list[str]:
        """Tell what was seen where, beside the control, which must have been seen everywhere."""
        control = {(kind, PLANTED) for kind in ("argument", "variable", "file")}
        for place, found in self._found.items():
            assert control <= found, f"{place}: the search finds nothing"
        return sorted(
            f"{place}: {kind}: {name}"
            for place, found in self._found.items()
            for kind, name in found - control
        )


class _Here:
    def __init__(self, roots: list[Path], words: Words) -> None:
        self._roots = roots
        self._words = words
        self._seen: set[tuple[str, str]] = set()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(look, pause), daemon=True)
            for look, pause in ((self._processes, 0.01), (self._files, 1.0))
        ]
        self._rounds = 0

    def begin(self) -> None:
        (self._roots[0] / "canary").write_text(self._words.planted)
        (self._roots[0] / "canary").chmod(0o644)
        # In base64, for a control of that too.
        packed = base64.b64encode(f"x{self._words.planted}x".encode()).decode()
        self._planted = subprocess.Popen(
            ["sh", "-c", "sleep 3600; :", packed],
            env={"PATH": os.environ["PATH"], "CANARY": self._words.planted},
            start_new_session=True,
        )
        for thread in self._threads:
            thread.start()

    def end(self) -> set[tuple[str, str]]:
        self._over.set()
        for thread in self._threads:
            thread.join()
        os.killpg(self._planted.pid, 9)
        self._planted.wait()
        (self._roots[0] / "canary").unlink()
        assert self._rounds > 5
        return self._seen

    def _repeat(self, look: Callable[[], Iterator[tuple[str, str]]], pause: float) -> None:
        while True:
            over = self._over.is_set()
            for kind, text in look():
                self._seen |= {(kind, name) for name in self._words.within(text)}
            self._rounds += 1
            if over:
                return
            self._over.wait(pause)

    def _processes(self) -> Iterator[tuple[str, str]]:
        for folder in Path("/proc").glob("[0-9]*"):
            for kind, name in (("argument", "cmdline"), ("variable", "environ")):
                try:
                    yield kind, (folder / name).read_bytes().decode(errors="replace")
                except OSError:
                    continue  # it has ended

    def _files(self) -> Iterator[tuple[str, str]]:
        for root in self._roots:
            for path in root.rglob("*"):
                try:
                    mode = path.stat()
                    if mode.st_mode & 0o044 and path.is_file() and mode.st_size < 1_000_000:
                        yield "file", path.read_bytes().decode(errors="replace")
                except OSError:
                    continue  # it is gone
