"""Requests to a service on the host, sent by an operation: one remote command for all."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra.api.host import Host

from uplift.facts.http import Http, Sent
from uplift.facts.script import HiddenInput, read_quietly
from uplift.spec.http import Answers, Auth, Request, Trouble, judge, render


def send(
    host: Host,
    requests: Sequence[Request],
    base: str,
    auth: Auth | None = None,
    *,
    limit: int = 300,
    wait: int = 0,
    socket: str | None = None,
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

    Returns:
        The answers, or None when the command could not be run: then the host has failed.
    """
    config = HiddenInput(render(requests, base, auth, socket=socket))
    found = read_quietly(host, Http, address=base, limit=limit, wait=wait, stdin=config)
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
