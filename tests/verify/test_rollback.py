"""Ways back: the release before can come back from this host alone, as it was recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from testinfra.host import Host

from uplift.facts.app import Apps
from uplift.settings import Settings
from uplift.spec.app import App
from uplift.spec.app.state import AppState, parse
from uplift.verify import rollback


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


def test_the_way_back_is_whole(
    host: Host, apps: tuple[App, ...], found: AppState, warn: Callable[[str], None]
) -> None:
    problems = []
    for app in apps:
        release = rollback.way_back(app, found)
        if release is None:
            warn(f"{app.name}: there is no release before to go back to")
        else:
            problems += rollback.problems(host, app, release, found)
    assert problems == []
