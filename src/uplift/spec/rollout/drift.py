"""Where hosts are not as the settings say, or not like each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from uplift.spec.base import Block
from uplift.spec.container.image import Reference, brief
from uplift.spec.rollout.plan import Plan
from uplift.spec.rollout.status import HostStatus, Row

Kind = Literal["settings", "orphan", "digest", "behind", "state"]

WORDS: Mapping[Kind, str] = {
    "settings": "is not as the settings say",
    "orphan": "made by uplift, and no settings name it",
    "digest": "the same tag with another digest",
    "behind": "serves an older release than other hosts",
    "state": "does not run as it should",
}


class Finding(Block):
    """One thing that is not as it should be on a host.

    Args:
        host: its name.
        kind: ``settings``: a run would change it; ``orphan``; ``digest``: hosts have the same tag
            with different digests; ``behind``: other hosts serve a newer release; ``state``.
        subject: the operation, or the container or application.
        text: what differs.
    """

    host: str
    kind: Kind
    subject: str
    text: str


def findings(
    plan: Plan,
    status: Sequence[HostStatus],
    named: Mapping[str, Iterable[str]],
    subjects: Mapping[str, Iterable[str]],
) -> list[Finding]:
    """Return all that is not as it should be, host by host.

    Args:
        plan: of the deploy files.
        status: what runs where.
        named: containers that the deploy files name, by host.
        subjects: blocks and applications of the settings, and applications that other inventories
            have, by host.
    """
    rows = [row for host in status for row in host.rows]
    found = [*_unlike(plan), *_orphans(status, named, subjects), *_digests(rows), *_behind(rows)]
    found += [
        Finding(host=row.host, kind="state", subject=row.name, text="; ".join(_words(row)))
        for row in rows
        if not row.good
    ]
    order = {host.name: number for number, host in enumerate(plan.hosts)}
    return sorted(found, key=lambda one: order.get(one.host, len(order)))


def _words(row: Row) -> list[str]:
    return [*([] if row.state in ("healthy", "running") else [row.state]), *row.notes]


def _unlike(plan: Plan) -> list[Finding]:
    return [
        Finding(
            host=host.name,
            kind="settings",
            subject=step.name,
            text="\n".join(step.lines) or step.function.removeprefix("pyinfra.operations."),
        )
        for host in plan.hosts
        for step in host.steps
        if step.changes
    ]


def _orphans(
    status: Sequence[HostStatus],
    named: Mapping[str, Iterable[str]],
    subjects: Mapping[str, Iterable[str]],
) -> list[Finding]:
    found = []
    for host in status:
        known = {*named.get(host.host, ())}
        # An operation that has something to do before its container does not come to name it.
        blocks = {*subjects.get(host.host, ())}
        found += [
            Finding(
                host=host.host,
                kind="orphan",
                subject=it.name,
                text=f"of {it.subject}: container.absent or docker rm -f {it.name}",
            )
            for it in host.managed
            if it.own not in known and it.subject not in blocks
        ]
    return found


def _digests(rows: Sequence[Row]) -> list[Finding]:
    """Find hosts where a tag stands for another digest than on most."""
    tagged: dict[str, list[Row]] = {}
    for row in rows:
        if row.digest and row.image and Reference.parse(row.image).tag:
            tagged.setdefault(row.image, []).append(row)
    found = []
    for image, own in tagged.items():
        most = _most(row.digest for row in own)
        found += [
            Finding(
                host=row.host,
                kind="digest",
                subject=row.name,
                text=f"{image} is {brief(row.digest)} here and {brief(most)} elsewhere",
            )
            for row in own
            if row.digest != most
        ]
    return found


def _most(values: Iterable[str]) -> str:
    return Counter(sorted(values)).most_common(1)[0][0]


def _behind(rows: Sequence[Row]) -> list[Finding]:
    """Find hosts whose application has another image than the newest release of any host."""
    apps: dict[str, list[Row]] = {}
    for row in rows:
        if row.kind == "app" and row.release:
            apps.setdefault(row.name, []).append(row)
    found = []
    for name, own in apps.items():
        newest = max(own, key=lambda row: row.origin)
        found += [
            Finding(
                host=row.host,
                kind="behind",
                subject=name,
                text=f"serves {_short(row)}, {newest.host} {_short(newest)}",
            )
            for row in own
            # A repeated tag is found above.
            if row.digest != newest.digest and row.image != newest.image
        ]
    return found


def _short(row: Row) -> str:
    return f"{Reference.parse(row.image).short} ({brief(row.digest)})"
