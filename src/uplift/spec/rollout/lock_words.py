"""What a person is told about locks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from uplift.spec.rollout.lock import HOLD, Record, Seen, Standing, State


def told(seen: Seen) -> str:
    """Say in a line who has a host.

    Args:
        seen: of the host.
    """
    record, standing = seen.record, seen.standing
    if standing is Standing.MAINTENANCE:
        return (
            f"held for maintenance by {record.owner} since {_since(seen)}: {record.purpose or '-'}"
        )
    if standing is Standing.OVER:
        ended = _ago(max(0, seen.now - record.beat - record.lease))
        return f"free: the lease of {_named(record)} ended {ended} ago"
    if standing is Standing.FREE:
        by = f", freed by {record.freed}" if record.freed else ""
        return f"free; last: {_named(record)}{by}" if record.run else "free"
    far = record.note or ("taking its locks" if standing is Standing.TAKING else "just begun")
    return (
        f"{_named(record)} ({record.purpose or '-'}) since {_since(seen)}, {far}; "
        f"last heard of {_ago(max(0, seen.now - record.beat))} ago, "
        f"its lease ends in {_ago(seen.left or 0)} unless it is renewed"
    )


def clause(record: Record) -> str:
    """Say who has a host in the words that refuse a command of an older run.

    Args:
        record: of the host.
    """
    if record.state is State.MAINTENANCE:
        return f"the host is held for maintenance by {record.owner}: {record.purpose}"
    if record.state is State.RELEASED:
        return f"{record.freed or record.owner} has freed the host"
    return f"{_named(record)} has the host now"


def together(seen: Mapping[str, Seen]) -> list[str]:
    """Say who has the hosts, one line for all hosts of a run.

    Args:
        seen: by host.
    """
    hosts: dict[tuple[str, ...], list[str]] = {}
    for name, one in seen.items():
        key = (one.record.run, one.record.owner, one.record.purpose, one.standing)
        hosts.setdefault(key, []).append(name)
    return [f"{listed(names)}: {told(seen[names[0]])}" for names in hosts.values()]


def refusal(holders: Mapping[str, Seen]) -> str:
    """Say that hosts are somebody else's.

    Args:
        holders: what each of these hosts said.
    """
    return "\n  ".join(["locked, and nothing was touched:", *together(holders)])


def listed(names: Iterable[str]) -> str:
    """Return names as a text that stays short.

    Args:
        names: of hosts.
    """
    all_names = list(names)
    more = f" and {len(all_names) - 8} more" if len(all_names) > 8 else ""
    return ", ".join(all_names[:8]) + more


def _named(record: Record) -> str:
    if record.run.startswith(HOLD):
        return f"maintenance by {record.owner}"
    return f"run {record.run} of {record.owner}"


def _since(seen: Seen) -> str:
    taken = datetime.fromtimestamp(seen.record.taken, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{taken} ({_ago(max(0, seen.now - seen.record.taken))} ago)"


def _ago(seconds: int) -> str:
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"
