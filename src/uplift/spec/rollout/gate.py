"""Tests between waves: only what was good before and is bad now stops a rollout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, order=True)
class Failure:
    """A test that failed on a host.

    Args:
        host: where.
        subject: that the test is about.
        test: its name.
        message: what it said; not part of what makes it the same failure.
    """

    host: str
    subject: str
    test: str
    message: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what makes two failures the same."""
        return self.host, self.subject, self.test

    @property
    def words(self) -> str:
        """Return it in one line."""
        first = self.message.partition("\n")[0]
        return f"{self.host} {self.subject}: {self.test}" + (f": {first}" if first else "")


@dataclass(frozen=True)
class Comparison:
    """The gate before and after a wave.

    Args:
        new: good before, or not there, and bad now, also when repeated.
        old: bad before and now.
        mended: bad before and good now.
        flaky: bad now and good when repeated.
    """

    new: tuple[Failure, ...] = ()
    old: tuple[Failure, ...] = ()
    mended: tuple[Failure, ...] = ()
    flaky: tuple[Failure, ...] = ()


KINDS = tuple(one.name for one in fields(Comparison))


def failures(hosts: Iterable[Mapping[str, Any]]) -> tuple[Failure, ...]:
    """Return the failures in the results of a verification; a host that is lost is one.

    Args:
        hosts: the results of each host, as ``uplift verify --json`` gives them.
    """
    found = []
    for host in hosts:
        if not host["reachable"]:
            found.append(Failure(host["name"], "host", "reachable", host["problem"]))
        found += [
            # pytest puts the host into the name as well.
            Failure(
                host["name"],
                one["subject"],
                one["test"].removesuffix(f"[{host['name']}]"),
                one["message"],
            )
            for one in host["failures"]
        ]
    return tuple(found)


def compared(
    before: Sequence[Failure], after: Sequence[Failure], again: Sequence[Failure] | None = None
) -> Comparison:
    """Compare the gate before and after a change.

    Args:
        before: failures of the baseline.
        after: failures after the change.
        again: failures when the new ones were repeated; None when they were not.
    """
    known, now = {one.key for one in before}, {one.key for one in after}
    repeated = now if again is None else {one.key for one in again}
    new = [one for one in after if one.key not in known]
    return Comparison(
        new=tuple(one for one in new if one.key in repeated),
        old=tuple(one for one in after if one.key in known),
        mended=tuple(one for one in before if one.key not in now),
        flaky=tuple(one for one in new if one.key not in repeated),
    )


Found = Mapping[str, Sequence[Failure]]
"""Failures by what they are: new, old, mended, flaky."""


def more(known: Found, record: Mapping[str, Any]) -> Found:
    """Add what the gate found once more: a test that bakes is run several times.

    Args:
        known: what it found before.
        record: with lists of failures as plain data.
    """
    added = {kind: [Failure(**one) for one in record.get(kind, ())] for kind in KINDS}
    return {
        kind: list({one.key: one for one in [*known.get(kind, ()), *found]}.values())
        for kind, found in added.items()
    }


def without(known: Found, hosts: Iterable[str]) -> Found:
    """Leave out what was found on hosts that are changed again.

    Args:
        known: what was found.
        hosts: names.
    """
    gone = set(hosts)
    return {kind: [one for one in found if one.host not in gone] for kind, found in known.items()}


def summary(gates: Mapping[int, Found]) -> dict[str, dict[str, Any]]:
    """Return what gates found, by number of the wave: the old and mended ones are only counted.

    Args:
        gates: what was found, by wave.
    """
    return {
        str(wave): {
            kind: [f"{one.host} {one.subject}: {one.test}" for one in found.get(kind, ())]
            if kind in ("new", "flaky")
            else len(found.get(kind, ()))
            for kind in KINDS
        }
        for wave, found in gates.items()
    }
