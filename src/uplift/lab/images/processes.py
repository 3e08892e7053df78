"""Run the tools that make images, bounded in time, with their progress shown in moderation."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from uplift.lab.images.places import Report
from uplift.spec.errors import UpliftError

LINE_LENGTH = 100
REPORT_EVERY = 2.0  # seconds between lines that nobody must see
KEPT_LINES = 25  # for the error message


class Tail:
    """Keep the last lines of a tool, and report one now and then.

    Args:
        report: told a line every few seconds.
    """

    def __init__(self, report: Report) -> None:
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._report = report
        self._last = 0.0

    def add(self, line: str, *, important: bool = False) -> None:
        """Take the next line; an important one is always reported."""
        text = line.strip()
        if not text:
            return
        self.lines.append(text)
        now = time.monotonic()
        if important or now - self._last >= REPORT_EVERY:
            self._report(text[:LINE_LENGTH])
            self._last = now


def run(
    command: Sequence[str],
    report: Report,
    *,
    limit: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command to its end.

    Args:
        command: program and arguments.
        report: told a line of its output every few seconds.
        limit: seconds after which it is killed.
        cwd: folder to run it in.
        env: variables to add to the environment.

    Returns:
        Its last lines.

    Raises:
        UpliftError: it failed or took too long; the message ends with its last lines.
    """
    tail = Tail(report)
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        late = threading.Event()

        def end() -> None:
            # First, because who waits for the process goes on before this thread has ended.
            late.set()
            process.kill()

        timer = threading.Timer(limit, end)
        timer.start()
        try:
            for line in process.stdout:
                tail.add(line)
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
    if process.returncode != 0:
        why = f"took more than {limit:.0f} s" if late.is_set() else "failed"
        raise UpliftError("\n".join([f"{' '.join(command)}: {why}", *tail.lines]))
    return "\n".join(tail.lines)
