"""Applications: the slot that HAProxy names serves the wanted release, as its settings say.

On a host that was taken back to a release, what was recorded of that release is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from testinfra.host import Host

from uplift.facts.app import Apps
from uplift.secrets import Secret, SecretRef
from uplift.settings import Settings
from uplift.spec.app import App
from uplift.spec.app.state import AppState, parse
from uplift.spec.container import Container
from uplift.spec.container.state import State
from uplift.verify import app as checks
from uplift.verify.app import Expected


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


@pytest.fixture(scope="module")
def wanted(apps: tuple[App, ...], found: AppState) -> list[Expected]:
    """What shall serve of each application; one without a slot has no container to look at."""
    return [checks.expected(app, found) for app in apps]


@pytest.fixture(scope="module")
def serving(wanted: list[Expected]) -> list[Expected]:
    """The same, of those that something serves."""
    return [one for one in wanted if one.slot]


@pytest.fixture(scope="module")
def states(host: Host, serving: list[Expected]) -> dict[str, State]:
    return {one.app.name: checks.read(host, one) for one in serving}


def test_one_slot_of_each_serves(
    wanted: list[Expected], found: AppState, states: dict[str, State]
) -> None:
    problems = {
        one.app.name: checks.slot_problems(one, found, states.get(one.app.name, State(docker=True)))
        for one in wanted
    }
    assert {name: lines for name, lines in problems.items() if lines} == {}


def test_it_runs_the_image_that_is_recorded(
    serving: list[Expected], states: dict[str, State]
) -> None:
    problems = {one.app.name: checks.image_problems(one, states[one.app.name]) for one in serving}
    assert {name: lines for name, lines in problems.items() if lines} == {}


def test_it_runs_with_its_settings_and_secrets(
    host: Host,
    serving: list[Expected],
    states: dict[str, State],
    secret_values: Mapping[SecretRef, Secret],
) -> None:
    problems = {}
    for one in serving:
        values = checks.values_of(host, one, secret_values)
        problems[one.app.name] = checks.setting_problems(one, states[one.app.name], values)
    assert {name: lines for name, lines in problems.items() if lines} == {}


def test_its_container_is_sound_and_shows_no_secret(
    serving: list[Expected],
    check_container: Callable[[Container], None],
    warn: Callable[[str], None],
) -> None:
    for one in serving:
        if one.back and one.release is not None:
            warn(f"{one.app.name} serves {one.release.words}, which this host was taken back to")
        check_container(one.app.container(one.slot))


def test_its_own_files_are_as_they_were_written(serving: list[Expected], found: AppState) -> None:
    problems = {one.app.name: checks.file_problems(one, found) for one in serving}
    assert {name: lines for name, lines in problems.items() if lines} == {}


def test_it_answers_that_it_is_ready(host: Host, serving: list[Expected]) -> None:
    for one in serving:
        http = one.app.open_check
        if one.app.proxy == "none" or http is None:
            continue
        address = f"http://127.0.0.1:{one.app.slot_port(one.slot)}{http.path}"
        said = host.run("curl -s -o /dev/null -m 10 --noproxy '*' -w '%%{http_code}' %s", address)
        assert int(said.stdout) in http.status, f"{one.app.name}: {address} answers {said.stdout}"


def test_it_answers_with_the_version_of_its_image(host: Host, serving: list[Expected]) -> None:
    asked = [one for one in serving if one.app.version_path and one.app.proxy == "haproxy"]
    if not asked:
        pytest.skip("no application has a version_path")
    for one in asked:
        assert one.release is not None, f"{one.app.name}: no good release is recorded"
        version = checks.version_of(one.release)
        address = f"http://127.0.0.1:{one.app.slot_port(one.slot)}{one.app.version_path}"
        said = host.run("curl -s -m 10 --noproxy '*' %s", address).stdout
        assert version, f"{one.app.name}: {one.release.reference} has no tag that is a version"
        assert checks.answers_version(said, version), f"{address} answers {said!r}, not {version}"


def test_through_haproxy_the_same_version_answers(
    host: Host, settings: Settings, serving: list[Expected], warn: Callable[[str], None]
) -> None:
    binds = [bind for bind in settings.haproxy.binds if not bind.tls] if settings.haproxy else []
    asked = [
        (one, route)
        for one in serving
        for route in one.app.routes
        if one.app.version_path and checks.covers(route, one.app.version_path)
    ]
    if hidden := sorted({one.app.name for one, _ in asked if one.app.maintenance}):
        warn(f"requests for {', '.join(hidden)} get the maintenance page, as the settings say")
        asked = [(one, route) for one, route in asked if not one.app.maintenance]
    if not binds or not asked:
        pytest.skip("no application with a version_path and a route is reached without TLS")
    at = binds[0].address if binds[0].address not in ("*", "0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    for one, route in asked:
        address = f"http://{at}:{binds[0].port}{one.app.version_path}"
        name = route.host or at
        said = host.run("curl -s -m 10 --noproxy '*' -H %s %s", f"Host: {name}", address).stdout
        version = checks.version_of(one.release) if one.release else ""
        assert checks.answers_version(said, version), f"{address} answers {said!r}, not {version}"


def test_the_last_release_is_recorded_as_good(wanted: list[Expected], found: AppState) -> None:
    assert [one.app.name for one in wanted if one.release is None] == []
    assert found.broken == {}


def test_records_of_releases_are_closed_to_others(host: Host, apps: tuple[App, ...]) -> None:
    said = host.run("find /var/lib/uplift/releases /etc/uplift/secrets -perm /077 -type f")
    assert said.stdout.split() == []
