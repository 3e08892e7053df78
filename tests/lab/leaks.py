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

KINDS = ("argument", "variable", "file")
LIMIT = 300  # seconds for one command on a host
_FOLDER = "/run/uplift-test-leaks"
_CANARY = "/tmp/uplift-test-canary"

# Everybody's files are read by a user who is nobody's friend.
_READABLE = (
    "cd /; runuser -u nobody -- find /dev/shm /etc /home /opt /root /run /srv /tmp /usr/local /var "
    "-xdev -type f {newer} -readable -size -4096k -print0 2>/dev/null | xargs -0 -r cat 2>/dev/null"
)

# $1 the control, which stands in an argument, in a variable and in a file for everybody. Each line
# is kept once, in a file of root's own: some secrets are known only when all is over.
_SAMPLE = f"""
set -eu; umask 077
systemctl stop uplift-test-leaks 2>/dev/null || :
rm -rf {_FOLDER}; mkdir -m 711 {_FOLDER}; cd {_FOLDER}; : >begun
cat >sample <<'END'
cd {_FOLDER}
lines() {{ tr '\\0' '\\n' | LC_ALL=C awk '!seen[$0]++; END {{ print "whole" }}' >"$1"; }}
sh -c 'sleep 3600; :' "$1" & CANARY=$1 sleep 3600 &
(umask 022; printf %s "$1" >{_CANARY})
last=
until [ "$last" ]; do
  [ ! -e over ] || last=yes
  ({_READABLE.format(newer=f"-newer {_FOLDER}/begun")}); echo
  [ "$last" ] || sleep 1
done | lines file &
files=$!
{{
  until [ -e over ]; do
    cat /proc/[0-9]*/cmdline; cat /proc/[0-9]*/environ >&3; echo >>rounds
  done 2>/dev/null | lines argument
}} 3>&1 | lines variable
wait $files
END
systemd-run --quiet --collect --unit=uplift-test-leaks sh {_FOLDER}/sample "$1"
"""
_END = f"""
set -eu
cd {_FOLDER}; : >over
while systemctl is-active --quiet uplift-test-leaks; do sleep 0.1; done
wc -l <rounds
for kind in {" ".join(KINDS)}; do base64 -w 0 $kind; echo; done
rm -r {_FOLDER} {_CANARY}
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
        self._names: dict[str, str] = {}
        self.add({**values, PLANTED: self.planted})

    def add(self, values: Mapping[str, str]) -> None:
        """Look for more, such as what was made only while something happened."""
        self._names |= {form: name for name, value in values.items() for form in forms(value)}

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
        self.run(_SAMPLE, self.words.planted)

    def end(self) -> dict[str, str]:
        """End it, and return all that was seen, by its kind."""
        rounds, *seen = self.run(_END).splitlines()
        assert int(rounds) > 5
        texts = [base64.b64decode(text).decode(errors="replace") for text in seen]
        assert all(text.endswith("\nwhole\n") for text in texts), f"{self.name}: cut off"
        return dict(zip(KINDS, texts, strict=True))

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
        words: to look for, in all that was seen, when it is asked what leaked.
        roots: folders of this machine whose files are read, where others may read them. Without
            any this machine is not sampled: for runs that are given their secrets in variables.
    """

    def __init__(
        self, hosts: Iterable[Mapping[str, Any]], words: Words, roots: Iterable[Path] = ()
    ) -> None:
        self._words = words
        self._places: dict[str, There | _Here] = {
            str(host["name"]): There(host, words) for host in hosts
        }
        if roots := [*roots]:
            self._places["controller"] = _Here(roots, words)
        self._seen: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Self:
        for place in self._places.values():
            place.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name, place in self._places.items():
            self._seen[name] = place.end()

    def arguments(self, place: str) -> str:
        """Return the arguments that were seen somewhere, a line each."""
        return self._seen[place]["argument"]

    def leaks(self) -> list[str]:
        """Tell what was seen where, beside the control, which must have been seen everywhere."""
        texts = {
            f"{place}: {kind}": text
            for place, seen in self._seen.items()
            for kind, text in seen.items()
        }
        found = set(within(self._words, texts))
        control = {f"{place}: {PLANTED}" for place in texts}
        assert control <= found, f"the search finds nothing: {sorted(control - found)}"
        return sorted(found - control)


class _Here:
    def __init__(self, roots: list[Path], words: Words) -> None:
        self._roots = roots
        self._words = words
        self._seen: dict[str, set[str]] = {kind: set() for kind in KINDS}
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

    def end(self) -> dict[str, str]:
        self._over.set()
        for thread in self._threads:
            thread.join()
        os.killpg(self._planted.pid, 9)
        self._planted.wait()
        (self._roots[0] / "canary").unlink()
        assert self._rounds > 5
        return {kind: "\n".join(lines) for kind, lines in self._seen.items()}

    def _repeat(self, look: Callable[[], Iterator[tuple[str, bytes]]], pause: float) -> None:
        while True:
            over = self._over.is_set()
            for kind, content in look():
                text = content.decode(errors="replace")
                self._seen[kind].update(text.replace("\0", "\n").split("\n"))
            self._rounds += 1
            if over:
                return
            self._over.wait(pause)

    def _processes(self) -> Iterator[tuple[str, bytes]]:
        for folder in Path("/proc").glob("[0-9]*"):
            for kind, name in (("argument", "cmdline"), ("variable", "environ")):
                try:
                    yield kind, (folder / name).read_bytes()
                except OSError:
                    continue  # it has ended

    def _files(self) -> Iterator[tuple[str, bytes]]:
        for path in self._paths():
            try:
                mode = path.stat()
                if mode.st_mode & 0o044 and path.is_file() and mode.st_size < 1_000_000:
                    yield "file", path.read_bytes()
            except OSError:
                continue  # it is gone

    def _paths(self) -> Iterator[Path]:
        for root in self._roots:
            for folder, folders, names in os.walk(root):
                # Of a project, what no run writes and what is large.
                folders[:] = [name for name in folders if name not in (".git", ".venv")]
                yield from (Path(folder, name) for name in names)
