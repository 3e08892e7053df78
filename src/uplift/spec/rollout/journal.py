"""What a run has done, as records that are written before and after each step, and read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from uplift.spec.errors import Exit
from uplift.spec.rollout import gate

FORMAT = 1

HostStep = Literal[
    "intent",  # a host's change may begin
    "done",  # it has ended well
    "failed",  # it has not
    "unreachable",  # the host cannot be reached
    "verified",  # its gate is no worse than before
    "rejected",  # it is worse
    "committed",  # the wave has passed
    "reverting",  # its way back may begin
    "reverted",
    "not-reverted",
]

Step = Literal["waiting", HostStep]

Kind = Literal[
    "begun",  # what is asked for: hosts, waves, deploys, policy, who, hash of code and settings
    "locked",  # every host, with the token
    "ready",  # every host can be changed; what each serves now, to go back to
    "wave",  # a wave begins
    "baseline",  # the gate before it, on hosts whose change has not begun
    "gate",  # what the gate found after it, against the baseline
    HostStep,
    "paused",  # a person must approve
    "approved",
    "interrupted",
    "denied",  # it may not be resumed or aborted now, by whom that was wanted and why not
    "resumed",
    "ended",  # outcome and exit code
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_OF_HOSTS = frozenset(get_args(HostStep))


class TornError(Exception):
    """Report a journal that is no journal."""


@dataclass(frozen=True)
class Run:
    """What the records of a run tell.

    Args:
        id: of the run.
        request: what was asked for, as it was written down.
        hosts: the step that each host has come to, in the inventory's order.
        changing: hosts whose change may have begun, and that were not put back.
        cut: hosts of which the end of the change that began last was never told.
        tried: hosts that something was told of since the run began or was resumed.
        words: what went wrong on a host.
        wave: number of the wave that began last, from 1; 0 before the first.
        baseline: failures of the gate before a host's change, by host, as plain data.
        before: what each host served when the run began, as plain data.
        changed: operations that changed something, by host.
        failed: operations that failed or were cut short, by host.
        lines: what operations of this project said that they have changed, by host.
        intents: when the last change of each host began, in seconds since 1970.
        took: seconds of each host's last change.
        gates: what gates found, by wave.
        serving: what each host served at the end, as plain data.
        stopped: reason and words of what ended the waves, until the answer to it is carried out.
        approved: waves after which a person has approved.
        paused: the wave after which one must; 0 when none.
        token: of its locks; 0 when it never had them.
        denied: the last attempt to go on with it, or to end it, that was refused since.
        outcome: how it ended; empty while it has not.
        exit_code: of the end.
        lasting: what would change and has no way back, with the reason, by host and operation.
        began: seconds since 1970.
        last: the same, of its last record.
    """

    id: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    hosts: Mapping[str, Step] = field(default_factory=dict)
    changing: frozenset[str] = frozenset()
    cut: frozenset[str] = frozenset()
    tried: frozenset[str] = frozenset()
    words: Mapping[str, str] = field(default_factory=dict)
    wave: int = 0
    baseline: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    failed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    intents: Mapping[str, float] = field(default_factory=dict)
    took: Mapping[str, float] = field(default_factory=dict)
    gates: Mapping[int, gate.Found] = field(default_factory=dict)
    serving: Mapping[str, Any] = field(default_factory=dict)
    stopped: tuple[str, str] | None = None
    approved: frozenset[int] = frozenset()
    paused: int = 0
    token: int = 0
    denied: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = ""
    exit_code: int | None = None
    lasting: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    began: float = 0.0
    last: float = 0.0

    @property
    def waves(self) -> tuple[tuple[str, ...], ...]:
        """Return the hosts of each wave."""
        return tuple(tuple(wave) for wave in self.request.get("waves", ()))

    @property
    def over(self) -> bool:
        """Tell whether nothing is left to resume."""
        return self.outcome in ("done", "reverted", "aborted", "refused")

    @property
    def waits(self) -> bool:
        """Tell whether a person must approve before it goes on."""
        return self.paused != 0 and not self.over

    def at(self, *steps: Step) -> tuple[str, ...]:
        """Return the hosts that have come to one of some steps.

        Args:
            steps: which.
        """
        return tuple(name for name, step in self.hosts.items() if step in steps)

    @property
    def touched(self) -> tuple[str, ...]:
        """Return the hosts that may differ from what they were before the run."""
        return tuple(name for name in self.hosts if name in self.changing)

    def following(self, record: Mapping[str, Any]) -> Run:
        """Return the run after one more record.

        Args:
            record: with ``kind``, ``at`` and what the kind needs.

        Raises:
            TornError: a kind that this release does not know.
        """
        kind = record["kind"]
        if kind not in KINDS:
            msg = f"the journal knows {kind!r}, this release of uplift does not"
            raise TornError(msg)
        if kind == "denied":
            # It is as it was.
            return replace(self, denied=record)
        run = replace(self, last=record["at"])
        if kind in _OF_HOSTS and record.get("host"):
            return run._host(record)
        return run._whole(kind, record)

    def _host(self, record: Mapping[str, Any]) -> Run:
        name = record["host"]
        words = {**self.words, name: record["words"]} if record.get("words") else self.words
        if record["kind"] == "intent":
            # What went wrong in an earlier attempt is over.
            words = {host: text for host, text in words.items() if host != name}
        changing, cut = self.changing, self.cut
        if record["kind"] == "intent":
            changing, cut = changing | {name}, cut | {name}
        elif record["kind"] == "reverted" or record.get("untouched"):
            changing, cut = changing - {name}, cut - {name}
        elif "changed" in record:
            cut -= {name}
        run = replace(
            self,
            hosts={**self.hosts, name: record["kind"]},
            changing=changing,
            cut=cut,
            tried=self.tried | {name},
            words=words,
            changed=_more(self.changed, name, record.get("changed")),
            failed=_more(self.failed, name, record.get("failed")),
            lines=_more(self.lines, name, record.get("lines")),
        )
        return run._timed(name, record)

    def _timed(self, name: str, record: Mapping[str, Any]) -> Run:
        if record["kind"] == "intent":
            return replace(self, intents={**self.intents, name: record["at"]})
        if "changed" in record and name in self.intents:
            lasted = round(record["at"] - self.intents[name], 1)
            return replace(self, took={**self.took, name: lasted})
        return self

    def _whole(self, kind: Kind, record: Mapping[str, Any]) -> Run:
        if kind == "begun":
            names = [name for wave in record["request"]["waves"] for name in wave]
            waiting: dict[str, Step] = dict.fromkeys(names, "waiting")
            begun = replace(self, id=record["run"], request=record["request"], began=record["at"])
            return replace(begun, hosts=waiting)
        known: dict[str, dict[str, Any]] = {
            "locked": {"token": record.get("token")},
            "ready": {
                "before": {**self.before, **record.get("before", {})},
                "lasting": {**self.lasting, **record.get("lasting", {})},
            },
            # What had stopped the run before it went on is answered, or was nothing to answer.
            "wave": {
                "wave": record.get("wave"),
                "stopped": None,
                "gates": {
                    number: gate.without(found, record.get("hosts", ()))
                    for number, found in self.gates.items()
                },
            },
            "gate": {
                "gates": {
                    **self.gates,
                    record.get("wave"): gate.more(
                        self.gates.get(record.get("wave", 0), {}), record
                    ),
                }
            },
            "baseline": {"baseline": {**self.baseline, **_by_host(record)}},
            "paused": {"paused": record.get("wave")},
            "approved": {"approved": self.approved | {record.get("wave")}, "paused": 0},
            "interrupted": {"stopped": (record.get("reason", ""), record.get("words", ""))},
            "resumed": {
                "outcome": "",
                "exit_code": None,
                "hosts": self._again(),
                "tried": frozenset(),
                "denied": {},
            },
            "ended": {
                "outcome": record.get("outcome"),
                "exit_code": record.get("exit_code"),
                "serving": record.get("serving", {}),
                # Somebody asked for an end before the answer was carried out.
                "stopped": self.stopped if record.get("exit_code") == Exit.INTERRUPTED else None,
                "denied": {},
            },
        }
        return replace(self, **known.get(kind, {}))

    def _again(self) -> Mapping[str, Step]:
        """Return the hosts for one more try: of those that were lost it is told anew who is."""
        known: dict[str, Step] = dict(self.hosts)
        for name in self.at("unreachable"):
            known[name] = "intent" if name in self.changing else "waiting"
        return known


def _more(
    known: Mapping[str, Sequence[str]], host: str, operations: Sequence[str] | None
) -> Mapping[str, Sequence[str]]:
    """Add operations: a host that was done again is told of with all that the run did there."""
    if not operations:
        return known
    return {**known, host: list(dict.fromkeys([*known.get(host, ()), *operations]))}


def _by_host(record: Mapping[str, Any]) -> dict[str, list[Mapping[str, str]]]:
    failures = record.get("failures", ())
    return {
        name: [one for one in failures if one["host"] == name] for name in record.get("hosts", ())
    }


def replayed(records: Iterable[Mapping[str, Any]]) -> Run:
    """Return what records tell, from the first to the last.

    Args:
        records: in their order.

    Raises:
        TornError: they do not begin with ``begun``, or are of another format.
    """
    run = Run()
    for number, record in enumerate(records):
        if number == 0 and (record.get("kind") != "begun" or record.get("format") != FORMAT):
            msg = f"not the journal of a run in format {FORMAT}"
            raise TornError(msg)
        run = run.following(record)
    if not run.id:
        msg = "an empty journal: the run had not begun"
        raise TornError(msg)
    return run
