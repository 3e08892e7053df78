"""Applications are taken off hosts that nobody else works on."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

import pytest

from uplift.apps import remove
from uplift.controller import person
from uplift.guard.lock import LockedError
from uplift.remote.inventory import InventoryHost
from uplift.spec.errors import Exit, UpliftError
from uplift.spec.rollout.lock import Record, Seen, State

NOW = 1_800_000_000


def seen(state: State, owner: str) -> Seen:
    """A lock that is alive."""
    record = Record(state=state, owner=owner, run="r-1", token=3, beat=NOW, lease=60)
    return Seen(record, 3, NOW, "digest")


class Fleet:
    """Two hosts, of which only one has the application."""

    def __init__(self, hosts: Any) -> None:
        self.unreachable: dict[str, UpliftError] = {}
        self.hosts = [SimpleNamespace(name=host.name) for host in hosts]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def each(self, step: Callable[[Any], Any]) -> dict[str, Any]:
        return {host.name: step(host) for host in self.hosts}


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the hosts from which it was removed."""
    done: list[str] = []

    def take(host: Any, app: str, purge: bool) -> remove.Removed:
        done.append(host.name)
        return remove.Removed(host.name)

    monkeypatch.setattr(
        remove,
        "with_settings",
        lambda *_: [(InventoryHost(name), SimpleNamespace(apps=())) for name in ("has", "not")],
    )
    monkeypatch.setattr(remove, "Fleet", Fleet)
    monkeypatch.setattr(
        remove,
        "_look",
        lambda host, *_: remove.There(host.name, ("container",) if host.name == "has" else ()),
    )
    monkeypatch.setattr(remove, "_remove", take)
    return done


def run(monkeypatch: pytest.MonkeyPatch, has: Seen, other: Seen) -> Exit:
    """Remove the application where the hosts have these locks."""
    monkeypatch.setattr(remove, "look", lambda host: has if host.name == "has" else other)
    return remove.remove("i.py", "console", (), lambda there: True, purge=False)[1]


FREE = seen(State.RELEASED, "")
OTHERS = seen(State.HELD, "anna@there")


def test_a_host_that_a_run_has_is_left_alone_until_it_is_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, removed: list[str]
) -> None:
    with pytest.raises(LockedError, match="r-1") as raised:
        run(monkeypatch, OTHERS, FREE)
    assert raised.value.exit_code is Exit.LOCKED
    assert removed == []
    monkeypatch.setenv("UPLIFT_LOCK", "ignore")
    assert run(monkeypatch, OTHERS, FREE) is Exit.DONE
    assert removed == ["has"]


def test_a_host_whose_lock_cannot_be_read_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, removed: list[str]
) -> None:
    error = UpliftError("has: needs root")
    monkeypatch.setattr(Fleet, "each", lambda self, step: {"has": _tried(step, self.hosts[0])})

    def refuse(host: Any) -> Seen:
        raise error

    monkeypatch.setattr(remove, "look", refuse)
    told, code = remove.remove("i.py", "console", (), lambda there: True, purge=False)
    assert (code, told[0].error, removed) == (Exit.HELD, "has: needs root", [])


def _tried(step: Callable[[Any], Any], host: Any) -> Any:
    try:
        return step(host)
    except UpliftError as error:
        return error


def test_a_hold_of_ones_own_and_locks_of_hosts_without_it_keep_nobody_away(
    monkeypatch: pytest.MonkeyPatch, removed: list[str]
) -> None:
    own = seen(State.MAINTENANCE, person())
    assert run(monkeypatch, own, OTHERS) is Exit.DONE
    assert removed == ["has"]
