"""Requests to a service on the host, sent by an operation: one remote command for all."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api.host import Host

from uplift.facts.http import Http, HttpEach, Sent
from uplift.facts.script import HiddenInput, read_quietly
from uplift.spec.http import Answers, Auth, Request, Trouble, Way, judge, render


def send(
    host: Host,
    requests: Sequence[Request],
    base: str,
    auth: Auth | None = None,
    *,
    limit: int = 300,
    wait: int = 0,
    socket: str | None = None,
    way: Way | None = None,
    ready: str = "",
) -> Answers | None:
    """Send requests from a host and return the answers; nothing of them is printed.

    Args:
        host: where the service is.
        requests: what to send, in this order.
        base: address of the service as the host sees it, without credentials.
        auth: credentials of the requests that name none.
        limit: seconds for all requests together.
        wait: seconds to wait until something listens.
        socket: path of a Unix socket by which the service is reached.
        way: to a service with TLS.
        ready: address that is waited for until it answers 200.

    Returns:
        The answers, or None when the command could not be run: then the host has failed.
    """
    config = HiddenInput(render(requests, base, auth, socket=socket, way=way))
    found = read_quietly(
        host, Http, address=base, limit=limit, wait=wait, ready=ready, stdin=config
    )
    return None if found is None else answers(found, requests)


def answers(found: Sent, requests: Sequence[Request]) -> Answers:
    """Return what the host's curl said as answers.

    Args:
        found: as the fact gives it.
        requests: as they were rendered.
    """
    if not found.curl:
        return Answers(trouble=Trouble.NO_CURL)
    try:
        return judge(found.raw, found.code, requests)
    except ValueError as error:
        return Answers(trouble=Trouble.FAILED, detail=str(error))


@dataclass(frozen=True)
class Step:
    """A request that is sent when those that it needs have succeeded.

    Args:
        request: what to send.
        needs: numbers of steps before it, from 0.
    """

    request: Request
    needs: Sequence[int] = ()


def send_each(
    host: Host,
    steps: Sequence[Step],
    base: str,
    auth: Auth | None = None,
    *,
    way: Way | None = None,
) -> list[Answers | None] | None:
    """Send requests one after the other, in one command, and return what came of each.

    Args:
        host: where the service is.
        steps: what to send, in this order.
        base: address of the service as the host sees it, without credentials.
        auth: credentials of the requests that name none.
        way: to a service with TLS.

    Returns:
        For each its answer, or None when it was not sent because of one before it. None altogether
        when the command could not be run: then the host has failed.
    """
    lines = [
        f"{','.join(map(str, step.needs)) or '-'} "
        f"{base64.b64encode(render([step.request], base, auth, way=way).encode()).decode()}\n"
        for step in steps
    ]
    found = read_quietly(host, HttpEach, stdin=HiddenInput(lines))
    if found is None:
        return None
    if found and found[0] is not None and not found[0].curl:
        return [Answers(trouble=Trouble.NO_CURL)] * len(steps)
    given = [
        None if it is None else answers(it, [step.request])
        for it, step in zip(found, steps, strict=False)
    ]
    cut = Answers(trouble=Trouble.FAILED, detail="the service's answers were cut off")
    return [*given, *[cut] * (len(steps) - len(given))]
