"""What a person, or a program, sees of a run while it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from uplift.cli.output import GONE, progress
from uplift.rollout.child import Event
from uplift.spec.rollout.policy import shown

_COLOURS = {
    "committed": "green",
    "reverted": "yellow",
    "done": "cyan",
    "verified": "cyan",
    "failed": "bold red",
    "rejected": "bold red",
    "unreachable": "red",
    "not-reverted": "bold red",
    "waiting": "dim",
}
_SAID = {"intent": "changing"}
_SHOWN = ("change", "host-error", "refused", "stale", "unread")
_WIDTH = 60  # characters of a host's last event in the table
_ROWS = 20  # hosts that the table names at once
_QUIET = ("waiting", "committed", "reverted")


class Watch(Protocol):
    """Shows what happens; a context, so that it can clear up."""

    def tell(self, record: Mapping[str, Any]) -> None:
        """Show one thing that happened."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def watch(want_json: bool) -> Watch:
    """Return JSON lines, a live table on a terminal, or plain lines elsewhere.

    Args:
        want_json: a program reads standard output.
    """
    if want_json:
        return Steady(JsonLines())
    return Steady(LiveTable() if progress.is_terminal else Lines())


class _Context:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave nothing behind."""


class Steady:
    """Shows what happens as long as somebody listens.

    A terminal that has gone, or a pipe that nobody reads, must not cut short the hosts in progress.

    Args:
        watch: that shows it.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def tell(self, record: Mapping[str, Any]) -> None:
        """Show one thing that happened, if that is possible."""
        with suppress(*GONE):
            self._watch.tell(record)

    def __enter__(self) -> Self:
        with suppress(*GONE):
            self._watch.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(*GONE):
            self._watch.__exit__(kind, error, traceback)


class JsonLines(_Context):
    """One JSON object a line on standard output, as it happens."""

    def tell(self, record: Mapping[str, Any]) -> None:
        """Print one thing that happened."""
        event = record.get("event")
        if isinstance(event, Event):
            record = {"kind": "event", "at": event.at, "event": json.loads(event.line())}
        print(json.dumps(shown(record)), flush=True)


class Lines(_Context):
    """Plain lines on standard error, with the time since the beginning."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def tell(self, record: Mapping[str, Any]) -> None:
        """Print what a person wants to know of it."""
        for line in words(record):
            progress.print(f"{time.monotonic() - self._begun:7.1f} s  {line}")


class LiveTable(_Context):
    """A table that changes in place: waves as counts, and the hosts at which something goes on.

    What must be kept is printed above it.
    """

    def __init__(self) -> None:
        self._waves: list[list[str]] = []
        self._known: frozenset[str] = frozenset()
        self._steps: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._last: dict[str, str] = {}
        self._now = "reaches the hosts, and locks them"
        self._live = Live(console=progress, refresh_per_second=2, get_renderable=self._table)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def tell(self, record: Mapping[str, Any]) -> None:
        """Take one thing that happened into the table."""
        kind, host = record["kind"], record.get("host", "")
        if kind == "begun":
            self._waves = [list(wave) for wave in record["request"]["waves"]]
            self._known = frozenset(name for wave in self._waves for name in wave)
            for line in words(record):
                self._live.console.print(line)
        elif kind == "known":
            self._waves = [list(wave) for wave in record["waves"]]
            self._steps = dict(record["hosts"])
            self._known = frozenset(self._steps)
            self._since = dict.fromkeys(self._steps, time.monotonic())
            self._live.console.print(f"run {record['run']}")
        elif kind == "step":
            self._now = record["words"]
        elif kind == "event":
            self._event(record["event"])
        elif host in self._known and kind != "warning":
            self._steps[host], self._since[host] = kind, time.monotonic()
            self._last[host] = str(record.get("words") or "").partition("\n")[0]
        else:
            for line in words(record):
                self._live.console.print(line)

    def _event(self, event: Event) -> None:
        if event.host not in self._known:
            return
        if event.kind == "host-start":
            self._last[event.host] = f"{event.operation} …"
        elif event.kind in _SHOWN and event.text:
            self._last[event.host] = event.text.partition("\n")[0]

    def _table(self) -> Table:
        caption = Text(f"{self._now} …", overflow="ellipsis", no_wrap=True)
        table = Table("wave", "host", "step", "for", "last", caption=caption)
        left = _ROWS
        for number, wave in enumerate(self._waves, start=1):
            at = [self._steps.get(name, "waiting") for name in wave]
            counts = ", ".join(f"{at.count(step)} {said(step)}" for step in dict.fromkeys(at))
            table.add_row(str(number), f"{len(wave)} host{'s' * (len(wave) != 1)}", counts)
            busy = [name for name in wave if self._steps.get(name, "waiting") not in _QUIET]
            for name in busy[:left]:
                self._add(table, name)
            left -= len(busy[:left])
        return table

    def _add(self, table: Table, name: str) -> None:
        step = self._steps[name]
        colour = _COLOURS.get(step, "default")
        lasted = f"{time.monotonic() - self._since[name]:.0f} s"
        shown = escape(self._last.get(name, "")[:_WIDTH])
        table.add_row("", f"  {escape(name)}", f"[{colour}]{said(step)}[/]", lasted, shown)


def said(step: str) -> str:
    """Return the word that people see for a step of a host.

    Args:
        step: of the journal.
    """
    return _SAID.get(step, step)


def words(record: Mapping[str, Any]) -> list[str]:
    """Return the lines that a person wants to see of a record, with rich's markup.

    Args:
        record: of the journal, or of what happens in between.
    """
    found = _WORDS.get(record["kind"])
    return found(record) if found else []


def _begun(record: Mapping[str, Any]) -> list[str]:
    lines = [f"run {record['run']}"]
    for number, wave in enumerate(record["request"]["waves"], start=1):
        lines.append(f"wave {number}: {escape(', '.join(wave))}")
    return lines


def _wave(record: Mapping[str, Any]) -> list[str]:
    return [f"[bold]wave {record['wave']}[/]: {escape(', '.join(record['hosts']))}"]


def _failures(record: Mapping[str, Any]) -> list[str]:
    found = record["failures"]
    if not found:
        return []
    return [f"{len(found)} tests fail already, and do not stop this wave:", *map(_test, found)]


def _test(one: Mapping[str, str]) -> str:
    first = one["message"].partition("\n")[0]
    return escape(f"  {one['host']} {one['subject']}: {one['test']}: {first}")


def _gate(record: Mapping[str, Any]) -> list[str]:
    lines = []
    for kind, said in (
        ("new", "[bold red]gate:[/] good before and bad now"),
        ("flaky", "[yellow]flaky:[/] bad, and good when repeated"),
    ):
        if record[kind]:
            lines += [said, *map(_test, record[kind])]
    return lines or [f"gate: wave {record['wave']} is no worse than before"]


def _event(record: Mapping[str, Any]) -> list[str]:
    event = record["event"]
    if event.kind not in _SHOWN or not event.text:
        return []
    return [escape(f"{event.host}  {line}") for line in event.text.splitlines()]


def _host(record: Mapping[str, Any]) -> list[str]:
    colour = _COLOURS.get(record["kind"], "default")
    # All of it was shown as it came.
    first = str(record.get("words") or "").partition("\n")[0]
    said = f": {escape(first)}" if first else ""
    changed = record.get("changed")
    names = f": {escape(', '.join(changed))}" if changed else ""
    count = f" ({len(changed)} changed{names})" if changed is not None and not said else ""
    return [f"{escape(record['host'])}  [{colour}]{record['kind']}[/]{count}{said}"]


def _paused(record: Mapping[str, Any]) -> list[str]:
    return [
        f"[bold]paused after wave {record['wave']}[/]: go on with `uplift approve last`, "
        "or hold with Ctrl-C"
    ]


def denied(record: Mapping[str, Any]) -> str:
    """Return in one line that a run could not be gone on with, for whom, and why.

    Args:
        record: of the journal.
    """
    why = " ".join(record["words"].split())
    return f"{record['what']} refused for {record['by']} (exit code {record['exit_code']}): {why}"


def _warning(record: Mapping[str, Any]) -> list[str]:
    return [f"[yellow]warning[/] {escape(record['words'])}"]


_WORDS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "begun": _begun,
    "known": lambda record: [f"run {record['run']}"],
    "step": lambda record: [f"[dim]{escape(record['words'])} …[/]"],
    "ready": lambda _: ["every host that is reached can be changed"],
    "wave": _wave,
    "baseline": _failures,
    "gate": _gate,
    "bake": lambda record: [f"wave {record['wave']} bakes for {record['seconds']} s"],
    "event": _event,
    "warning": _warning,
    "paused": _paused,
    "approved": lambda record: [f"approved by {escape(record['by'])}"],
    "denied": lambda record: [f"[yellow]{escape(denied(record))}[/]"],
    "resumed": lambda record: [f"resumed by {escape(record['by'])}"],
    "interrupted": lambda record: [f"[bold red]stopped[/]: {escape(record['words'])}"],
    **dict.fromkeys(
        ("done", "failed", "unreachable", "rejected", "committed", "reverted", "not-reverted"),
        _host,
    ),
}
