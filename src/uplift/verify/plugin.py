"""The pytest plugin: testinfra's ``host`` for every host of a pyinfra inventory.

``pytest tests/verify --inventory inventories/prod.py [--limit GROUP_OR_PATTERN]``

pytest loads this file in every run of an environment that has uplift, so without
``--inventory`` it does nothing, and it imports what it needs only when it needs it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

    from uplift.remote.inventory import InventoryHost
    from uplift.settings import Settings
    from uplift.verify.session import Session

INVENTORY = "uplift_inventory"
LIMIT = "uplift_limit"
JSON = "uplift_json"

# A test that asks for one of these is made for hosts of an inventory.
FIXTURES = frozenset({"inventory_host", "data", "settings"})

_session_key: pytest.StashKey[Session] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, under longer names where another plugin has taken the short ones."""
    group = parser.getgroup("uplift", "hosts of a pyinfra inventory (uplift)")
    _add(group, "inventory", dest=INVENTORY, metavar="FILE", help="test the hosts of this file")
    _add(
        group,
        "limit",
        dest=LIMIT,
        metavar="GROUP_OR_PATTERN",
        action="append",
        default=[],
        help="only hosts of this group, or whose name matches; may be repeated",
    )
    _add(group, "verify-json", dest=JSON, metavar="FILE", help="write the results of each host")


def _add(group: pytest.OptionGroup, name: str, **attributes: Any) -> None:
    try:
        group.addoption(f"--{name}", **attributes)
    except (ValueError, argparse.ArgumentError):  # taken
        group.addoption(f"--uplift-{name}", **attributes)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the inventory and log in to its hosts, before testinfra looks at ``--hosts``."""
    config.addinivalue_line(
        "markers", "hosts(*names): run only on hosts of these groups, or with matching names"
    )
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None and "uplift" not in worker:
        return
    if worker is None and not config.getoption(INVENTORY):
        _refuse_lonely_options(config)
        return
    from uplift.verify import session

    begun = session.begin(config, worker["uplift"] if worker else None)
    config.stash[_session_key] = begun
    config.pluginmanager.register(session.Hooks(begun, config), "uplift-session")


def _refuse_lonely_options(config: pytest.Config) -> None:
    if config.getoption(LIMIT) or config.getoption(JSON):
        raise pytest.UsageError("--limit and --verify-json need --inventory FILE")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse tests for hosts of an inventory when there is none: they would test this machine."""
    if _session_key in config.stash or config.getoption("collectonly"):
        return
    for item in items:
        if FIXTURES.intersection(getattr(item, "fixturenames", ())) & _ours(item):
            raise pytest.UsageError(
                f"{item.nodeid} tests hosts of an inventory, not this machine: "
                "give --inventory inventories/NAME.py"
            )


def _ours(item: pytest.Item) -> set[str]:
    """Return the fixtures of a test that come from here: ``data`` is a common name elsewhere."""
    info = getattr(item, "_fixtureinfo", None)
    found = info.name2fixturedefs if info else {}
    return {
        name
        for name in FIXTURES
        if any(one.func.__module__ == __name__ for one in found.get(name, ())[-1:])
    }


@pytest.fixture(scope="module")
def inventory_host(host: Host, pytestconfig: pytest.Config) -> InventoryHost:
    """Return the host's name, groups and data as they stand in the inventory."""
    return pytestconfig.stash[_session_key].host(host.backend.hostname)


class _Data(dict[str, Any]):
    """Data of a host, which may hold passwords: pytest shows the fixtures of a failed test."""

    def __repr__(self) -> str:
        return f"<data: {', '.join(self)}>"


@pytest.fixture(scope="module")
def data(inventory_host: InventoryHost) -> dict[str, Any]:
    """Return the host's data, merged by pyinfra and not yet validated."""
    return _Data(inventory_host.data)


@pytest.fixture(scope="module")
def settings(inventory_host: InventoryHost, pytestconfig: pytest.Config) -> Iterator[Settings]:
    """Return the host's settings, validated; an error in them is one for each host."""
    yield pytestconfig.stash[_session_key].settings(inventory_host)


@pytest.fixture
def warn(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say what somebody should know and what is no failure: ``warn("text")``."""
    from uplift.verify.results import WARNING

    said: list[tuple[str, object]] = request.node.user_properties
    return lambda text: said.append((WARNING, text))
