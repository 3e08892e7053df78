"""Tell what happens in a run, from inside pyinfra's process."""

from __future__ import annotations

import atexit
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import gevent  # type: ignore[import-untyped]
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State, StateStage
from pyinfra.context import ctx_host, ctx_state

from uplift import events
from uplift.facts import expected
from uplift.rollout import stock
from uplift.rollout.connector import pass_fence, tell_lost
from uplift.rollout.names import HOSTS
from uplift.spec.errors import Exit
from uplift.spec.rollout.event import Kind

LINES = 20
"""How many of a failed command's last lines are told."""

_begun: set[str] = set()


def loaded() -> None:
    """Note that the observer's file was loaded on the current host, for the first or last time."""
    state, host = ctx_state.get(), ctx_host.get()
    if not any(isinstance(one, Told) for one in state.callback_handlers):
        _begin(state)
    if host.name not in _begun:
        _begun.add(host.name)
        return
    operations = _operations(state, host)
    for one in operations:
        _tell_files(state, host, one)
    events.write(Kind.PREPARED, host=host.name, operations=operations)


def _begin(state: State) -> None:
    reached = sorted(host.name for host in state.active_hosts)
    surplus = set(reached).difference(json.loads(os.environ.get(HOSTS) or "[]") or reached)
    if surplus:
        # A pattern of ours chose more than it should: nothing has happened yet.
        print(f"uplift: pyinfra also selected {', '.join(sorted(surplus))}", file=sys.stderr)
        raise SystemExit(int(Exit.USAGE))
    tell_lost()
    pass_fence(state.config.SHELL)
    state.add_callback_handler(Told())
    atexit.register(_end, state)
    events.write(Kind.BEGUN, pid=os.getpid(), hosts=reached)


def _operations(state: State, host: Host) -> list[dict[str, Any]]:
    looked = state.should_check_for_changes()
    found = []
    for hash in host.op_hash_order:
        of_host = state.ops[host].get(hash)
        if of_host is None:  # of another host: _run_once
            continue
        found.append(
            {
                "id": hash,
                "name": _name(state, hash),
                "function": _function(of_host.command_generator),
                "change": of_host.operation_meta._maybe_is_change if looked else None,
                "conditional": bool(of_host.global_arguments.get("_if")),
            }
        )
    return found


def _tell_files(state: State, host: Host, operation: Mapping[str, Any]) -> None:
    """Tell what a stock operation would write: our own have told it themselves."""
    if operation["change"]:
        of_host = state.ops[host][operation["id"]]
        for text in stock.told(host, of_host, operation["function"]):
            events.write(
                Kind.CHANGE,
                host=host.name,
                operation=operation["name"],
                text=text,
                id=operation["id"],
                done=False,
            )


def _function(generator: Callable[[], object]) -> str:
    """Return which operation it is, as ``pyinfra.operations.files.file``."""
    function = inspect.getclosurevars(generator).nonlocals.get("func")
    return f"{function.__module__}.{function.__qualname__}" if function else ""


def _name(state: State, hash: str) -> str:
    return " / ".join(sorted(state.get_op_meta(hash).names))


def _end(state: State) -> None:
    _tell()
    try:
        completed = state.current_stage is StateStage.Disconnect
        failed = sorted(host.name for host in state.failed_hosts)
        events.write(Kind.ENDED, failed=failed, completed=completed)
    except OSError:  # whoever listened is gone, and this process ends anyway
        return


_results: list[tuple[State, Host, str, Kind]] = []


def _tell() -> None:
    """Tell results whose operations are complete by now: pyinfra calls back just before."""
    waiting = list(_results)
    _results.clear()
    for state, host, hash, kind in waiting:
        meta = state.get_op_data_for_host(host, hash).operation_meta
        if not meta.is_complete():
            _results.append((state, host, hash, kind))
            continue
        arguments = state.get_op_data_for_host(host, hash).global_arguments
        said = [line for line in [*meta.stdout_lines, *meta.stderr_lines] if line.strip()]
        given: dict[str, Any] = (
            {"changed": meta.did_change()}
            if kind is Kind.HOST_SUCCESS
            else {
                "ignored": bool(arguments.get("_ignore_errors")),
                "text": "\n".join(said[-LINES:]),
            }
        )
        if given.get("changed"):
            generator = state.get_op_data_for_host(host, hash).command_generator
            expected.changed(host.name, _function(generator))
        events.write(kind, host=host.name, operation=_name(state, hash), **given)


def _result(state: State, host: Host, hash: str, kind: Kind) -> None:
    _tell()
    _results.append((state, host, hash, kind))
    # It runs as soon as this host's greenlet is done.
    gevent.spawn(_tell)


class Told(BaseStateCallback):
    """Turn pyinfra's callbacks into events."""

    @staticmethod
    def operation_start(state: State, op_hash: str) -> None:
        """Tell that an operation begins."""
        _tell()
        events.write(Kind.OPERATION_START, operation=_name(state, op_hash))

    @staticmethod
    def operation_host_start(state: State, host: Host, op_hash: str) -> None:
        """Tell that an operation begins on a host."""
        if op_hash in state.ops[host]:
            events.write(Kind.HOST_START, host=host.name, operation=_name(state, op_hash))

    @staticmethod
    def operation_host_success(
        state: State, host: Host, op_hash: str, retry_count: int = 0
    ) -> None:
        """Tell that an operation is done on a host."""
        _result(state, host, op_hash, Kind.HOST_SUCCESS)

    @staticmethod
    def operation_host_error(
        state: State, host: Host, op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        """Tell that an operation failed on a host."""
        _result(state, host, op_hash, Kind.HOST_ERROR)

    @staticmethod
    def operation_host_retry(
        state: State, host: Host, op_hash: str, retry_num: int, max_retries: int
    ) -> None:
        """Tell that an operation is tried again on a host."""
        name = _name(state, op_hash)
        events.write(
            Kind.HOST_RETRY, host=host.name, operation=name, attempt=retry_num, of=max_retries
        )

    @staticmethod
    def operation_end(state: State, op_hash: str) -> None:
        """Tell that an operation is done."""
        _tell()
        events.write(Kind.OPERATION_END, operation=_name(state, op_hash))
