"""What pyinfra was called with, and what cannot be right about the words themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from uplift.spec.errors import UsageError

if TYPE_CHECKING:
    from pyinfra.api.host import Host

TEXT_DATA = frozenset({"to", "release", "version", "tag"})
"""Names of ``--data`` that are text for us, even where they look like a number."""


@dataclass(frozen=True)
class Call:
    """What pyinfra was asked to do, as pyinfra itself reads its command line.

    Args:
        inventory: a file, or hosts.
        operations: deploy files, or ``exec``, ``fact``, ``debug-inventory``, or an operation.
        data: what follows ``--data``, each.
        limit: what follows ``--limit``, each.
        exclude: what follows ``--exclude``, each.
        group_data: what follows ``--group-data``, each.
        asks: pyinfra will wait for a person before it changes anything.
        shows_operations: pyinfra prints all that it knows of its operations.
        overrides: values for all hosts, from ``--data`` and ``--ssh-…``.
    """

    inventory: str
    operations: tuple[str, ...]
    data: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    group_data: tuple[str, ...] = ()
    asks: bool = False
    shows_operations: bool = False
    overrides: Mapping[str, Any] | None = None

    @property
    def deploys(self) -> bool:
        """Return whether deploy files are run."""
        return all(word.endswith(".py") for word in self.operations)

    @property
    def connects(self) -> bool:
        """Return whether hosts are reached at all."""
        return self.operations[:1] != ("debug-inventory",)


def parse(argv: Sequence[str]) -> Call:
    """Read pyinfra's command line.

    Args:
        argv: words after ``pyinfra``.

    Raises:
        UsageError: ``--data`` without a value.
    """
    from pyinfra_cli.cli import _set_override_data, cli

    # pyinfra's own click command, so that both read the same; it has been validated already.
    given = cli.make_context("pyinfra", list(argv), resilient_parsing=True).params
    check_pairs(given["data"])
    ssh = ("ssh_user", "ssh_key", "ssh_key_password", "ssh_port", "ssh_password")
    quiet = ("yes", "dry", "json_output", "debug_operations", "debug_facts")
    call = Call(
        inventory=str(given["inventory"]),
        operations=tuple(given["operations"]),
        data=tuple(given["data"]),
        limit=tuple(given["limit"]),
        exclude=tuple(given["exclude"]),
        group_data=tuple(given["group_data"]),
        shows_operations=given["debug_operations"],
        overrides=_set_override_data(given["data"], **{key: given[key] for key in ssh}),
    )
    # Facts and ad-hoc commands run without a question.
    asks = call.operations[0] not in ("debug-inventory", "fact", "exec")
    return replace(call, asks=asks and not any(given[key] for key in quiet))


def check_terminal(call: Call) -> None:
    """Refuse a run that waits for a person where there is none.

    Args:
        call: what pyinfra was asked to do.
    """
    if call.asks and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError(
            "pyinfra would wait for Enter, and there is no terminal.\n"
            "Add -y to do it, or --dry to see what would be done"
        )


def check_pairs(data: Iterable[str]) -> None:
    """Refuse ``--data`` without a value.

    Args:
        data: what follows ``--data``, each.
    """
    for pair in data:
        if "=" not in pair:
            raise UsageError(f"--data {pair!r} has no value: write --data {pair}=VALUE")


def check_types(hosts: Sequence[Host], call: Call) -> None:
    """Refuse ``--data`` that pyinfra turned into something else than was typed or is wanted.

    Args:
        hosts: that are selected.
        call: what pyinfra was asked to do.
    """
    for pair in call.data:
        name, _, typed = pair.partition("=")
        value = (call.overrides or {})[name]
        wants_text = name in TEXT_DATA or any(
            isinstance(_configured(host, name), str) for host in hosts
        )
        if became_other(typed, value, wants_text):
            kind = type(value).__name__
            remedy = f"""--data '{name}="{typed}"'"""
            raise UsageError(
                f"--data {pair} arrives as the {kind} {value!r}, not as text: write {remedy}"
            )


def became_other(typed: str, value: Any, wants_text: bool) -> bool:
    """Return whether pyinfra made something else of a value than what was typed.

    Args:
        typed: as ``1.10``.
        value: what pyinfra made of it, as the float 1.1.
        wants_text: it must be text.
    """
    if isinstance(value, str):
        return False
    if isinstance(value, bool) or not isinstance(value, int | float):
        return wants_text
    return wants_text or str(value) != typed


def _configured(host: Host, name: str) -> Any:
    """Return a host's value of a name as it is without ``--data``."""
    inventory = host.inventory
    for data in (
        inventory.get_host_data(host.name),
        inventory.get_groups_data(host.groups),
        inventory.get_data(),
    ):
        if name in data:
            return data[name]
    return None
