"""HAProxy's configuration and its maintenance page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateError

from uplift.spec.app.models import SLOTS, App
from uplift.spec.errors import Problem, SettingsError
from uplift.spec.haproxy.backend import Backend
from uplift.spec.haproxy.models import CERTIFICATES, PAGE, Haproxy

_DEFAULT_PAGE = "<!doctype html><title>Back soon</title><h1>Back soon</h1>\n"


@dataclass(frozen=True)
class Rule:
    """Which requests go to an application.

    Args:
        backend: name of the application.
        condition: in HAProxy's words.
    """

    backend: str
    condition: str


def rules(apps: Iterable[App]) -> list[Rule]:
    """Return the rules of all applications, the narrowest first.

    Args:
        apps: of the host.
    """
    found = []
    for app in apps:
        for route in app.routes:
            host = f" {{ req.hdr(host),field(1,:) -i {route.host} }}" if route.host else ""
            at = route.path.rstrip("/")
            paths = [f" {{ path {at} }}", f" {{ path_beg {at}/ }}"] if at else [""]
            rank = (route.host is None, -len(at), app.name)
            found += [(rank, Rule(app.name, f"{host}{path}")) for path in paths if host or path]
    return [rule for _, rule in sorted(found, key=lambda one: one[0])]


def fallback(apps: Iterable[App]) -> str | None:
    """Return the application that has what no rule names: that with the route of any host and '/'.

    Args:
        apps: of the host.
    """
    for app in apps:
        if any(route.host is None and route.path == "/" for route in app.routes):
            return app.name
    return None


def render(
    settings: Haproxy,
    template: str,
    apps: Sequence[App],
    active: Mapping[str, str],
    backends: Mapping[str, Backend] = MappingProxyType({}),
) -> str:
    """Return the configuration.

    Args:
        settings: of HAProxy.
        template: text of the Jinja2 template.
        apps: those behind it.
        active: slot that serves, by application.
        backends: of what serves, by application; as the settings say where nothing does.

    Raises:
        SettingsError: the template is none.
    """
    # The result is no HTML: nothing is to be escaped.
    environment = Environment(  # noqa: S701
        undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    values: dict[str, Any] = {
        "haproxy": settings,
        "page": PAGE,
        "certificates": CERTIFICATES,
        "rules": rules(apps),
        "default": fallback(apps),
        "apps": [
            _backend(app, active.get(app.name, ""), backends.get(app.name) or Backend.of(app))
            for app in apps
        ],
    }
    try:
        return environment.from_string(template).render(values)
    except TemplateError as error:
        problem = Problem(path="haproxy.template", text=f"{settings.template}: {error}")
        raise SettingsError([problem]) from None


def _backend(app: App, active: str, backend: Backend) -> dict[str, Any]:
    return {
        "name": app.name,
        "maintenance": app.maintenance,
        "check_path": backend.path,
        "check_status": backend.status,
        "servers": list(zip(SLOTS, backend.ports, strict=True)),
        "active": active,
    }


def page(html: str | None) -> str:
    """Return the maintenance page as HAProxy sends it: a whole HTTP answer.

    Args:
        html: of the page, or None.
    """
    body = html or _DEFAULT_PAGE
    return (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Cache-Control: no-store\r\nRetry-After: 30\r\nContent-Length: {len(body.encode())}\r\n"
        f"Connection: close\r\n\r\n{body}"
    )
