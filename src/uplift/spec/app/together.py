"""What applications of one host must not share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from uplift.spec.app.models import SLOTS, App
from uplift.spec.haproxy.models import Haproxy

T = TypeVar("T")


def trouble(apps: Sequence[App], haproxy: Haproxy | None) -> str:
    """Return what keeps applications from running side by side, or nothing.

    Args:
        apps: of the host.
        haproxy: of the host.
    """
    if name := _twice([app.name for app in apps]):
        return f"apps: {name!r} stands here twice"
    if name := _twice([name for app in apps for name in sorted(_containers(app))]):
        return f"apps: {name!r} is a container of two of them: call one of them otherwise"
    proxied = [app for app in apps if app.proxy == "haproxy"]
    if proxied and haproxy is None:
        return (
            f"apps: {proxied[0].name!r} is reached through HAProxy: add a block haproxy, "
            "or set its proxy to 'none'"
        )
    ports = [port for app in proxied for port in app.slot_ports]
    if haproxy is not None:
        ports += [bind.port for bind in haproxy.binds] + [haproxy.statistics_port]
    if port := _twice(ports):
        return f"apps: port {port} is used twice among slot_ports and HAProxy's own"
    routes = [(route.host, route.path.rstrip("/")) for app in proxied for route in app.routes]
    if route := _twice(routes):
        return f"apps: two have the route {route[0] or 'any host'}{route[1] or '/'}"
    return ""


def _containers(app: App) -> set[str]:
    return {*map(app.name_in, SLOTS), *(app.job(job).name for job in app.jobs)}


def _twice(values: Sequence[T]) -> T | None:
    return next((value for value, count in Counter(values).items() if count > 1), None)
