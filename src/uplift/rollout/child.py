"""Run pyinfra's command line as a child process, and tell what came of it on each host."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from uplift import events
from uplift.facts.expected import EXPECTED
from uplift.remote.inventory import exactly
from uplift.rollout.names import HOSTS, OBSERVER
from uplift.spec.errors import Exit, UsageError
from uplift.spec.rollout.event import Event
from uplift.spec.rollout.outcome import HostOutcome, Outcome, State, Tally, by_host

__all__ = ["Event", "HostOutcome", "Outcome", "State", "run"]

QUIET_LIMIT = 3600.0
"""Seconds without any event after which a run is given up: every step has a limit of its own."""

CLEAN_UP_LIMIT = 5.0
"""Seconds for pyinfra to close its connections after it was interrupted."""

_PIECE = 65536


def _nothing(event: Event) -> None:
    """Listen to no event."""


def run(
    inventory: str,
    deploys: Sequence[str],
    hosts: Sequence[str],
    *,
    log: Path,
    dry: bool = False,
    data: Mapping[str, str] | None = None,
    shell: str | None = None,
    on_event: Callable[[Event], None] = _nothing,
    environment: Mapping[str, str] | None = None,
    expect: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
    stop: threading.Event | None = None,
    quiet: float = QUIET_LIMIT,
) -> Outcome:
    """Run deploy files on some hosts, as a person would with pyinfra's command line.

    A host that fails is left out from there on, and the others go on. The process group is the
    child's own: Ctrl-C reaches the caller alone, who decides.

    Args:
        inventory: a file, or what else pyinfra takes.
        deploys: files, run one after the other in one process.
        hosts: names of the hosts; no other is touched.
        log: what pyinfra prints is appended here; it is made for its owner alone.
        dry: only look.
        data: for ``--data``, as text.
        shell: runs every command on the hosts, for ``--shell-executable``.
        on_event: is called with each event as it happens, in this thread.
        environment: variables on top of this process's.
        expect: what a plan saw: fingerprints of parts, by read's key, by host. A host where an
            operation finds something else, that this run has not changed itself, fails there.
        stop: interrupts the run when it is set.
        quiet: seconds without an event after which the run is given up.

    Returns:
        What came of it, for every host that was asked for.

    Raises:
        UsageError: pyinfra or the project's own checks refused the call: nothing was touched.
    """
    if not hosts:
        raise UsageError("no host is selected")
    words = command(inventory, deploys, hosts, dry=dry, data=data or {}, shell=shell)
    tally = Tally(hosts, dry=dry)

    def take(event: Event) -> None:
        tally.take(event)
        on_event(event)

    begun = time.monotonic()
    with _opened(log) as (output, start), _expected(log, expect or {}) as told:
        # The document that --json prints in the end would be empty when every host failed.
        stdout = subprocess.DEVNULL if dry else output
        ours = {**_environment(hosts, environment or {}), **told}
        code, given_up = _watch(words, (stdout, output), ours, take, stop, quiet)
    said = by_host(_lines(log, start), hosts)
    if given_up:
        said.setdefault("", []).append(_given_up(tally, quiet))
    elif code < 0 and not (stop and stop.is_set()):
        said.setdefault("", []).append(f"pyinfra was ended by signal {-code}")
    if code == Exit.USAGE:
        raise UsageError(_refusal(said.get("", [])))
    return tally.outcome(code, time.monotonic() - begun, said)


def command(
    inventory: str,
    deploys: Sequence[str],
    hosts: Sequence[str],
    *,
    dry: bool,
    data: Mapping[str, str],
    shell: str | None,
) -> list[str]:
    """Return the words that run pyinfra.

    Args:
        inventory: a file, or what else pyinfra takes.
        deploys: files.
        hosts: names.
        dry: only look.
        data: for ``--data``.
        shell: for ``--shell-executable``.
    """
    observer = str(OBSERVER)
    # -P: as with the `pyinfra` script, a json.py of the project must not stand in for Python's.
    words = [sys.executable, "-P", "-m", "pyinfra", inventory, observer, *deploys, observer]
    # Without --json pyinfra asks a person whether to go on when a host fails in a dry run.
    words += ["--dry", "--json"] if dry else ["-y"]
    for name in hosts:
        words += ["--limit", exactly(name)]
    for key, value in data.items():
        # As JSON: pyinfra would read 1.10 as a number.
        words += ["--data", f"{key}={json.dumps(value)}"]
    return words + (["--shell-executable", shell] if shell else [])


@contextmanager
def _opened(log: Path) -> Iterator[tuple[int, int]]:
    """Open a log to append to it; give its descriptor and where the new part begins."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor, os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


@contextmanager
def _expected(
    log: Path, expect: Mapping[str, Mapping[str, Mapping[str, str]]]
) -> Iterator[Mapping[str, str]]:
    """Write down what is expected, beside the log; give the variable that tells where."""
    if not expect:
        yield {}
        return
    file = log.with_name(f"{log.name}.expected")
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as to:
        json.dump(expect, to)
    try:
        yield {EXPECTED: str(file.resolve())}
    finally:
        file.unlink()


def _lines(log: Path, start: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace").splitlines()


def _watch(
    words: Sequence[str],
    outputs: tuple[int, int],
    environment: Mapping[str, str],
    take: Callable[[Event], None],
    stop: threading.Event | None,
    quiet: float,
) -> tuple[int, bool]:
    """Run the child to its end; return its exit code, and whether it was given up."""
    reading, writing = os.pipe()
    try:
        with subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=outputs[0],
            stderr=outputs[1],
            pass_fds=(writing,),
            process_group=0,
            env={**environment, events.DESCRIPTOR: str(writing)},
        ) as child:
            os.close(writing)
            try:
                given_up = _read(child, reading, take, stop, quiet)
            except BaseException:
                _end(child)
                raise
            return child.wait(), given_up
    finally:
        os.close(reading)


def _environment(hosts: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    ours = {
        "PYINFRA_PROGRESS": "off",
        "PYTHONIOENCODING": "utf-8",
        HOSTS: json.dumps(list(hosts)),
    }
    return {**os.environ, **given, **ours}


def _read(
    child: subprocess.Popen[bytes],
    reading: int,
    take: Callable[[Event], None],
    stop: threading.Event | None,
    quiet: float,
) -> bool:
    """Hand on events until the child has ended; return whether it was given up."""
    rest, heard, given_up = b"", time.monotonic(), False
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        while True:
            # Asked before: what it told last, also while this process was stopped, is there then.
            over = child.poll() is not None
            if selector.select(0 if over else 0.2):
                piece = os.read(reading, _PIECE)
                if not piece:
                    return given_up
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    take(Event.parse(line.decode()))
                heard = time.monotonic()
            elif over:
                return given_up
            late = time.monotonic() - heard > quiet
            if late or (stop is not None and stop.is_set()):
                given_up, stop, heard = given_up or late, None, time.monotonic()
                # What it still tells while it ends is read, up to its last event.
                threading.Thread(target=_end, args=(child,), daemon=True).start()


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let pyinfra close its connections, and do not wait for it for ever."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if child.poll() is None:
            child.send_signal(number)
            try:
                child.wait(CLEAN_UP_LIMIT)
            except subprocess.TimeoutExpired:
                continue


def _given_up(tally: Tally, quiet: float) -> str:
    """Say that nothing happened any more, and where: every host waits for the silent ones."""
    where = "; ".join(f"{one} on {', '.join(hosts)}" for one, hosts in tally.running.items())
    return f"nothing happened for {quiet:g} s{f' ({where})' if where else ''}: the run was given up"


def _refusal(said: Sequence[str]) -> str:
    """Return what was wrong with a call, in the words of the project's own checks."""
    lines = [line for line in said if not line.startswith("-->")]
    ours = next((n for n, line in enumerate(lines) if line.startswith("uplift: ")), None)
    if ours is not None:
        lines = [lines[ours].removeprefix("uplift: "), *lines[ours + 1 :]]
    return "\n".join(lines[-20:]) or "pyinfra refused the call and did not say why"
