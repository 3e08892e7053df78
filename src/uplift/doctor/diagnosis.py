"""The whole examination of one inventory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from uplift.doctor import checks, controller, probe, reach
from uplift.doctor.report import Finding, HostReport, Report, complete, failed, ok, warning
from uplift.remote import inventory as inventories
from uplift.remote import ssh_config
from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.remote.unreachable import Reason, Unreachable
from uplift.settings import Settings
from uplift.spec.errors import UpliftError, UsageError

CONNECT_LIMIT = 10.0


def diagnose(
    inventory: str, limit: Sequence[str] = (), *, connect_limit: float = CONNECT_LIMIT
) -> Report:
    """Look at the controller and at every host of an inventory, in parallel.

    Nothing is changed anywhere: host keys are not learned either.

    Args:
        inventory: a file, or what else pyinfra takes as an inventory.
        limit: groups or patterns of host names.
        connect_limit: seconds for each of reaching, greeting and logging in.
    """
    machine = controller.machine()
    try:
        every = inventories.hosts(inventory)
        hosts = inventories.select(every, limit, inventory)
    except UsageError as error:
        return Report(inventory, (*machine, controller.unusable(error)), ())
    groups = {group for host in every for group in host.groups}
    findings, settings = controller.of_inventory(inventory, hosts, groups)
    reports = _examine(hosts, settings, connect_limit)
    return Report(inventory, (*machine, *findings), reports)


def _examine(
    hosts: Sequence[InventoryHost], settings: Mapping[str, Settings], connect_limit: float
) -> tuple[HostReport, ...]:
    with Fleet(hosts, connect_limit=connect_limit) as fleet:
        seen = fleet.each(probe.look)
        outcomes = {**fleet.unreachable, **seen}
        return tuple(
            _host(
                host,
                fleet.connections.get(host.name),
                outcomes[host.name],
                settings.get(host.name),
            )
            for host in hosts
        )


def _host(
    host: InventoryHost,
    connection: Connection | None,
    outcome: probe.Seen | UpliftError,
    settings: Settings | None,
) -> HostReport:
    if connection is None:
        text = str(outcome).removeprefix(f"{host.name}: ")
        wrong = failed("connect", text, "Correct this key in the inventory or the group data.")
        return HostReport(host.name, False, complete([wrong], "not reached"))
    if isinstance(outcome, Unreachable):
        findings = reach.findings(outcome, connection.destination)
        return HostReport(host.name, outcome.reason is Reason.SHELL, findings)
    if isinstance(outcome, UpliftError):
        raise outcome
    found = [
        *_arrival(connection),
        *checks.of_host(
            outcome,
            has_sudo=connection.has_sudo,
            manages_docker=settings is not None and settings.docker is not None,
        ),
        _verify(host),
    ]
    return HostReport(host.name, True, complete(found, "not looked at"))


def _arrival(connection: Connection) -> list[Finding]:
    """Return the checks that a login has passed."""
    if not connection.in_thread:
        return [ok(check, "this machine") for check in ("connect", "host key", "login")]
    to = connection.destination
    key = (
        ok("host key", f"as in {to.known_hosts}")
        if connection.checks_host_key
        else warning(
            "host key",
            "not checked",
            'Set ssh_strict_host_key_checking = "yes", or whoever answers is trusted.',
        )
    )
    return [ok("connect", f"{to.address} port {to.port}"), key, ok("login", to.user)]


def _verify(host: InventoryHost) -> Finding:
    refusal = ssh_config.refusal(host)
    if refusal is None:
        return ok("verify", "can be tested")
    return warning("verify", refusal, "Deploys work; `uplift verify` cannot test these hosts.")
