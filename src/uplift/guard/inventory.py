"""The inventory of a call: that it is there, can be loaded, and which hosts are meant."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from uplift.guard.call import Call
from uplift.spec.base import near_miss
from uplift.spec.errors import UpliftError, UsageError

if TYPE_CHECKING:
    from pyinfra.api.host import Host
    from pyinfra.api.inventory import Inventory


def check_file(call: Call) -> None:
    """Refuse an inventory file that is not there; pyinfra would take its name for a host.

    Args:
        call: what pyinfra was asked to do.
    """
    path = Path(call.inventory)
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name an inventory file.{_inventories(path)}")
    looks_like_file = path.suffix == ".py" or ("/" in call.inventory and "@" not in call.inventory)
    if looks_like_file and "," not in call.inventory and not path.exists():
        raise UsageError(f"no inventory file {path} in {Path.cwd()}.{_inventories(call.inventory)}")


def _inventories(typed: str | Path) -> str:
    """Return which inventory files there are, and which one was probably meant."""
    there = sorted(str(path) for path in Path("inventories").glob("*.py"))
    guess = near_miss(Path(typed).stem, [Path(path).stem for path in there])
    hint = f" Did you mean inventories/{guess}.py?" if guess else ""
    return f"{hint}\nThere are: {', '.join(there)}" if there else hint


def load(call: Call) -> Inventory:
    """Load the inventory with its group data as pyinfra does, in this process.

    Args:
        call: what pyinfra was asked to do.

    Raises:
        UsageError: a file of it raises an exception, or there are no hosts.
    """
    import pyinfra
    from pyinfra.api.exceptions import PyinfraError
    from pyinfra_cli.exceptions import CliError, UnexpectedExternalError
    from pyinfra_cli.inventory import make_inventory

    try:
        with _silent(pyinfra.logger):
            inventory: Inventory = make_inventory(
                call.inventory,
                override_data=dict(call.overrides or {}),
                cwd=str(Path.cwd()),
                group_data_directories=list(call.group_data),
            )
    except UnexpectedExternalError as error:
        raise _broken(error.exception, error.filename) from None
    except SyntaxError as error:
        raise _broken(error, error.filename or call.inventory) from None
    except (PyinfraError, CliError) as error:
        raise UsageError(f"{call.inventory}: {error}") from None
    if not inventory.hosts:
        raise UsageError(f"{call.inventory}: no hosts.{_inventories(call.inventory)}")
    return inventory


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Keep pyinfra's warnings about the inventory back: it gives them again in a moment."""
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _broken(error: Exception, file: str) -> UpliftError:
    """Turn an exception in somebody's inventory or group data into an error with its place."""
    if isinstance(error, UpliftError):
        return error
    line = getattr(error, "lineno", None)
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    where = f"{_relative(file)}, line {line}" if line else _relative(file)
    return UsageError(f"{where}: {type(error).__name__}: {getattr(error, 'msg', error)}")


def _relative(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def select(hosts: Sequence[Host], groups: Mapping[str, Sequence[Host]], call: Call) -> list[Host]:
    """Return the hosts that a call is about, as pyinfra chooses them.

    Args:
        hosts: of the inventory.
        groups: by name.
        call: what pyinfra was asked to do.

    Raises:
        UsageError: a pattern matches nothing, or nothing is left.
    """
    chosen = list(hosts)
    if call.limit:
        chosen = _matching(hosts, groups, call.limit, "--limit")
    excluded = _matching(hosts, groups, call.exclude, "--exclude")
    left = [host for host in chosen if host not in excluded]
    if not left:
        raise UsageError("--exclude leaves no host")
    return left


def _matching(
    hosts: Sequence[Host], groups: Mapping[str, Sequence[Host]], patterns: Sequence[str], word: str
) -> list[Host]:
    found: list[Host] = []
    for pattern in patterns:
        matches = groups.get(pattern) or [h for h in hosts if fnmatch(h.name, pattern)]
        if not matches:
            raise UsageError(_no_match(pattern, word, [h.name for h in hosts], list(groups)))
        found += matches
    return [host for host in hosts if host in found]


def _no_match(pattern: str, word: str, names: Sequence[str], groups: Sequence[str]) -> str:
    guess = near_miss(pattern, [*groups, *names])
    hint = f" Did you mean {guess!r}?" if guess else ""
    if "," in pattern:
        hint = f" Give {word} once for each: " + " ".join(f"{word} {p}" for p in pattern.split(","))
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return (
        f"{word} {pattern!r} matches no host.{hint}\n"
        f"Groups: {', '.join(sorted(groups)) or 'none'}\nHosts: {shown}"
    )
