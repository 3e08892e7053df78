"""Applications: the slot that HAProxy names serves the wanted release, and a way back is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from testinfra.host import Host

from uplift.facts.app import Apps
from uplift.settings import Settings
from uplift.spec.app import SLOTS, App
from uplift.spec.app.state import AppState, parse
from uplift.spec.container import Container


@pytest.fixture(scope="module")
def apps(settings: Settings) -> tuple[App, ...]:
    if not settings.apps:
        pytest.skip("the settings have no applications")
    return settings.apps


@pytest.fixture(scope="module")
def found(host: Host, apps: tuple[App, ...]) -> AppState:
    said = host.run(Apps().command([app.name for app in apps]).get_raw_value())
    assert said.rc == 0, said.stderr
    return parse(said.stdout.splitlines())


def serving(app: App, found: AppState) -> str:
    """Return the slot that serves: without HAProxy there is one container for all."""
    return SLOTS[0] if app.proxy == "none" else found.active.get(app.name, "")


def test_one_slot_of_each_serves(apps: tuple[App, ...], found: AppState) -> None:
    proxied = [app for app in apps if app.proxy == "haproxy"]
    assert {app.name: serving(app, found) for app in proxied if not serving(app, found)} == {}
    ready = {
        app.name: [slot for slot in SLOTS if found.running[app.name][slot] == "ready"]
        for app in proxied
    }
    assert ready == {app.name: [serving(app, found)] for app in proxied}


def test_what_serves_is_as_the_settings_say(
    apps: tuple[App, ...], found: AppState, check_container: Callable[[Container], None]
) -> None:
    for app in apps:
        check_container(app.container(serving(app, found)))


def test_it_answers_that_it_is_ready(host: Host, apps: tuple[App, ...], found: AppState) -> None:
    for app in apps:
        http = app.ready.http
        if app.proxy == "none" or http is None:
            continue
        address = f"http://127.0.0.1:{app.slot_port(serving(app, found))}{http.path}"
        said = host.run("curl -s -o /dev/null -m 10 --noproxy '*' -w '%%{http_code}' %s", address)
        assert int(said.stdout) in http.status, f"{app.name}: {address} answers {said.stdout}"


def test_the_last_release_is_recorded_as_good(apps: tuple[App, ...], found: AppState) -> None:
    good = {app.name: [one for one in found.releases.get(app.name, ()) if one.good] for app in apps}
    assert [name for name, releases in good.items() if not releases] == []
    assert found.broken == {}


def test_records_of_releases_are_closed_to_others(host: Host, apps: tuple[App, ...]) -> None:
    said = host.run("find /var/lib/uplift/releases /etc/uplift/secrets -perm /077 -type f")
    assert said.stdout.split() == []
