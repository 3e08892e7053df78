"""A run of pytest over the hosts of an inventory: which hosts, which tests, what came out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from uplift.remote import inventory
from uplift.remote.inventory import InventoryHost
from uplift.spec.base import near_miss
from uplift.spec.errors import Problem, SettingsError, UpliftError
from uplift.verify import backend
from uplift.verify.connection import Connections
from uplift.verify.plugin import INVENTORY, JSON, LIMIT
from uplift.verify.results import Results, running

if TYPE_CHECKING:
    from uplift.settings import Settings

HOST_PROPERTY = "uplift_host"


class Session:
    """The hosts of one run.

    Args:
        connections: of the selected hosts.
        groups: all groups of the inventory, also those outside ``--limit``.
    """

    def __init__(self, connections: Connections, groups: Sequence[str]) -> None:
        self.connections = connections
        self.groups = tuple(groups)
        self._settings: dict[str, Settings] = {}

    def host(self, name: str) -> InventoryHost:
        """Return a host by its name."""
        return self.connections.by_name[name].host

    def settings(self, host: InventoryHost) -> Settings:
        """Return a host's validated settings.

        Raises:
            SettingsError: they are wrong.
        """
        from uplift.settings import from_data

        if host.name not in self._settings:
            self._settings[host.name] = from_data(dict(host.data))
        return self._settings[host.name]

    def problems(self) -> dict[str, str]:
        """Return why hosts cannot be tested, by name."""
        every = self.connections.by_name
        return {name: one.problem for name, one in every.items() if one.problem}

    def dump(self) -> dict[str, Any]:
        """Return plain data for xdist's workers."""
        return {"connections": self.connections.dump(), "groups": list(self.groups)}


def begin(config: pytest.Config, dumped: str | None) -> Session:
    """Read the inventory and log in to its hosts; in a worker of xdist take over what was done.

    Args:
        config: pytest's, with our options.
        dumped: in a worker, what the controlling process sent.

    Raises:
        pytest.UsageError: the inventory, the limit or a host's data is wrong.
    """
    if dumped is not None:
        document = json.loads(dumped)
        begun = Session(Connections.load(document["connections"]), document["groups"])
    else:
        begun = _begin(config)
    config.option.hosts = backend.use(begun.connections)
    return begun


def _begin(config: pytest.Config) -> Session:
    if getattr(config.option, "hosts", None):
        raise pytest.UsageError("--inventory and --hosts exclude each other")
    name = config.getoption(INVENTORY)
    try:
        every = inventory.hosts(name)
        chosen = inventory.select(every, config.getoption(LIMIT), name)
        _check_settings(chosen, name)
        connections = Connections.prepare(chosen, Path.cwd())
    except UpliftError as wrong:
        raise pytest.UsageError(str(wrong)) from None
    config.add_cleanup(connections.close)
    if not config.getoption("collectonly"):
        connections.open()
    return Session(connections, sorted({group for host in every for group in host.groups}))


def _check_settings(hosts: Iterable[InventoryHost], name: str) -> None:
    """Refuse wrong settings once, before anything connects: else each test would fail of them."""
    from uplift.remote.settings import from_host

    found: dict[Problem, None] = {}
    for host in hosts:
        try:
            from_host(host, name)
        except SettingsError as error:
            found |= dict.fromkeys(error.problems)
    if found:
        raise SettingsError(list(found))


class Unreachable(pytest.Item):
    """The one error of a host that cannot be tested; its tests are skipped."""

    def __init__(self, *, problem: str, host: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.problem = problem
        self.host = host

    def setup(self) -> None:
        """Fail before the call phase, so that pytest counts an error."""
        pytest.fail(f"{self.host} could not be reached: {self.problem}", pytrace=False)

    def runtest(self) -> None:
        """Do nothing: setup has failed."""

    def reportinfo(self) -> tuple[Path, None, str]:
        """Name the host where pytest names a file."""
        return self.path, None, self.name


class Hooks:
    """pytest's hooks of a run with an inventory.

    Args:
        session: the hosts.
        config: pytest's; a worker of xdist writes no results.
    """

    def __init__(self, session: Session, config: pytest.Config) -> None:
        self.session = session
        target = None if hasattr(config, "workerinput") else config.getoption(JSON)
        self._target = Path(target) if target else None
        self.results = Results(session.problems(), list(session.connections.by_name))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Send the hosts to a worker of xdist: it must not log in again."""
        node.workerinput["uplift"] = json.dumps(self.session.dump())

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Choose each host's tests; give a host that is down one error and skip the rest."""
        self._drop_other_groups(config, items)
        problems = self.session.problems()
        lost: list[str] = []
        for item in items:
            name = host_of(item)
            if name is None:
                continue
            item.user_properties.append((HOST_PROPERTY, name))
            if name in problems:
                lost += [] if name in lost else [name]
                item.add_marker(pytest.mark.skip(reason=f"{name} could not be reached"))
        items[:0] = [_error(session, name, problems[name]) for name in lost]

    def _drop_other_groups(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        dropped = [item for item in items if not self._wanted(item)]
        if dropped:
            config.hook.pytest_deselected(items=dropped)
            items[:] = [item for item in items if item not in set(dropped)]

    def _wanted(self, item: pytest.Item) -> bool:
        name = host_of(item)
        if name is None:
            return True
        host = self.session.host(name)
        return all(
            matches(host, self._known(mark.args, item)) for mark in item.iter_markers("hosts")
        )

    def _known(self, names: Iterable[str], item: pytest.Item) -> tuple[str, ...]:
        """Warn of a marker that names no group: a typing error would drop the test everywhere."""
        hosts = self.session.connections.by_name
        for name in names:
            if name in self.session.groups or any(fnmatch(one, name) for one in hosts):
                continue
            guess = near_miss(name, self.session.groups)
            hint = f"; did you mean {guess!r}?" if guess else ""
            item.warn(pytest.PytestWarning(f"hosts({name!r}): no such group or host{hint}"))
        return tuple(names)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Write down which test begins: of one that hangs nothing else would tell its host."""
        if self._target:
            running(self._target).write_text(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a result under its host and subject."""
        self.results.add(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the results of each host, once all are known."""
        if self._target:
            document = {"inventory": session.config.getoption(INVENTORY), **self.results.dump()}
            running(self._target).unlink(missing_ok=True)
            self._target.write_text(json.dumps(document, indent=2) + "\n")


def matches(host: InventoryHost, names: Iterable[str]) -> bool:
    """Tell whether a host is in one of some groups, or has a name that fits.

    Args:
        host: with its groups.
        names: of groups, or patterns of host names.
    """
    return any(name in host.groups or fnmatch(host.name, name) for name in names)


def host_of(item: pytest.Item) -> str | None:
    """Return the name of the inventory's host that a test runs on."""
    if isinstance(item, Unreachable):
        return item.host
    callspec = getattr(item, "callspec", None)
    param = callspec.params.get("_testinfra_host") if callspec else None
    found = getattr(param, "backend", None)
    return found.hostname if isinstance(found, backend.InventoryBackend) else None


def _error(session: pytest.Session, name: str, problem: str) -> pytest.Item:
    made: Unreachable = Unreachable.from_parent(
        session, name=f"unreachable[{name}]", nodeid=f"unreachable[{name}]",
        problem=problem, host=name,
    )  # fmt: skip
    made.user_properties.append((HOST_PROPERTY, name))
    return made
