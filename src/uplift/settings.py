"""Group data of a host, validated: one block a subject."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pydantic import ValidationError, model_validator

from uplift.secrets import require
from uplift.spec.app import App
from uplift.spec.app.together import trouble
from uplift.spec.backup.subjects import Backups
from uplift.spec.base import Block, near_miss, problems
from uplift.spec.certificates import Certificates
from uplift.spec.clients import Clients
from uplift.spec.docker import Docker
from uplift.spec.errors import Problem, SettingsError, UpliftError
from uplift.spec.haproxy import Haproxy
from uplift.spec.images import Images
from uplift.spec.influxdb import InfluxDB, InfluxDBClient
from uplift.spec.nexus import Nexus
from uplift.spec.packages import Packages
from uplift.spec.redis import Redis
from uplift.spec.registry import Registry
from uplift.spec.rollout import Policy
from uplift.spec.tools import Tools
from uplift.spec.uv import Uv

if TYPE_CHECKING:
    from pyinfra.api.host import Host


class Settings(Block):
    """What one host shall have: its group and host data as typed blocks.

    A block that is left out, or ``None``, means that its subject is not managed on the host.

    Args:
        certificates: CA certificates beside the distribution's.
        docker: Docker Engine and its ``daemon.json``.
        uv: which uv is installed.
        registry: a container registry with users and TLS.
        nexus: what a Nexus holds.
        clients: client files of users and of the host (``.netrc``, ``.npmrc``, ``pip.conf``, …).
        tools: programs that install packages: npm, Poetry, ….
        redis: Redis in a container.
        packages: what is published, and into which repositories.
        images: what is built and pushed.
        influxdb: an InfluxDB 2.7 and what it holds.
        influxdb_client: tokens of an InfluxDB that the host needs.
        haproxy: HAProxy in front of applications.
        apps: applications in two slots each.
        backups: which subjects are backed up, when and where to.
        rollout: waves, tests between them, and what is done when something fails.
    """

    certificates: Certificates = Certificates()
    docker: Docker | None = None
    uv: Uv | None = None
    registry: Registry | None = None
    nexus: Nexus | None = None
    clients: Clients | None = None
    tools: Tools | None = None
    redis: Redis | None = None
    packages: Packages | None = None
    images: Images | None = None
    influxdb: InfluxDB | None = None
    influxdb_client: InfluxDBClient | None = None
    haproxy: Haproxy | None = None
    apps: tuple[App, ...] = ()
    backups: Backups | None = None
    rollout: Policy | None = None

    @model_validator(mode="after")
    def _apps_fit(self) -> Self:
        if problem := trouble(self.apps, self.haproxy):
            raise ValueError(problem)
        return self


BLOCKS = tuple(Settings.model_fields)

B = TypeVar("B", bound=Block)


def from_data(data: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> Settings:
    """Validate the merged data of one host.

    Names that are no block are the user's own and stay untouched, unless such a name is a block's
    with a slip of the pen.

    Args:
        data: what pyinfra merged for the host, by top-level name.
        sources: the file in which each top-level name stands, for the error's text.

    Raises:
        SettingsError: everything that is wrong, each with file, key, finding and remedy.
    """
    where = sources or {}
    found = _misspelt(data, where)
    blocks = {name: data[name] for name in BLOCKS if name in data}
    for name in ("certificates", "apps"):
        if blocks.get(name, ...) is None:
            del blocks[name]
    try:
        settings = Settings.model_validate(blocks)
    except ValidationError as error:
        found += [
            replace(problem, source=where.get(_top(problem.path)))
            for problem in problems(Settings, error, path="", source=None)
        ]
    if found:
        raise SettingsError(found)
    return settings


def for_host(host: Host) -> Settings:
    """Return the settings of a host in a deploy file.

    ``config.py`` has validated them before anything connected, so they are wrong here only where
    it was not read: when pyinfra was started in another folder. pyinfra's command line then ends
    with exit code 64 before the first change: deploy files are loaded before anything is executed.

    Args:
        host: pyinfra's host.

    Raises:
        SettingsError: the data is wrong, or no group data was read at all.
    """
    with ending_pyinfra():
        return checked(host)


def with_secrets(block: B) -> B:
    """Return a block whose secrets are all there; called in a deploy file, before any change.

    Args:
        block: of settings.

    Raises:
        MissingSecretError: lists all that are missing; pyinfra's command line ends with 64.
    """
    with ending_pyinfra():
        require(block)
    return block


_SAID: set[str] = set()
"""What this run of pyinfra has said: hosts with the same settings find the same."""


@contextmanager
def ending_pyinfra() -> Iterator[None]:
    """End pyinfra's command line with an error's own exit code: else it prints a traceback.

    The first host ends the run. What others find while it ends goes back to pyinfra as the error
    it is, which nobody asks for any more; a second SystemExit would be shown as a traceback.
    """
    import pyinfra

    try:
        yield
    except UpliftError as error:
        if not pyinfra.is_cli:
            raise
        first = not _SAID
        if str(error) not in _SAID:
            _SAID.add(str(error))
            print(f"uplift: {error}", file=sys.stderr)
        if first:
            raise SystemExit(int(error.exit_code)) from None
        raise


def checked(host: Host) -> Settings:
    """Return the settings of a host, where an error is to go on as it is.

    Args:
        host: pyinfra's host.

    Raises:
        SettingsError: the data is wrong, or no group data was read at all.
    """
    data = host.data.dict()
    if not any(name in data for name in BLOCKS) and not Path("group_data").is_dir():
        raise SettingsError([Problem(path=host.name, text=_NO_DATA.format(folder=Path.cwd()))])
    return from_data(data, sources_of(host))


_NO_DATA = (
    "has no settings, and {folder} has no folder group_data: pyinfra reads group data and "
    "config.py only where it is started. Change to the project's folder first, or use --chdir"
)


def sources_of(
    host: Host, inventory: str | None = None, folders: Sequence[Path] = (Path("group_data"),)
) -> dict[str, str]:
    """Return in which file each top-level name of a host's data stands.

    Args:
        host: pyinfra's host.
        inventory: the inventory file; ``the inventory`` when it is not known.
        folders: folders of group data, in the order in which pyinfra reads them.
    """
    own = inventory or "the inventory"
    found: dict[str, str] = {}
    # In the order of pyinfra's precedence: what comes later wins.
    for group in ("all", *host.groups):
        values = host.inventory.get_data() if group == "all" else None
        for name in values or host.inventory.get_group_data(group):
            found[name] = _file_with(name, group, folders) or own
    found |= dict.fromkeys(host.inventory.get_host_data(host.name), f"{own} (host {host.name})")
    return found | dict.fromkeys(host.inventory.get_override_data(), "--data")


def files_of(names: Iterable[str], groups: Sequence[str], inventory: str) -> dict[str, str]:
    """Return the same from the files alone, where there is no host of pyinfra to ask.

    A name that a group's file sets and the inventory names too is shown with both: it may be data
    of the host itself.

    Args:
        names: of the host's data.
        groups: of the host, in pyinfra's order.
        inventory: the inventory file, or what else pyinfra takes.
    """
    file = Path(inventory)
    own = _words(file) if file.is_file() else frozenset()
    folders = [Path("group_data")]
    if file.is_file() and file.parent.resolve() != Path.cwd():
        folders.append(file.parent / "group_data")
    found: dict[str, str] = {}
    for name in names:
        files = (_file_with(name, group, folders) for group in reversed(("all", *groups)))
        group_file = next((one for one in files if one), None)
        both = group_file is not None and name in own
        found[name] = f"{group_file} or {inventory}" if both else group_file or inventory
    return found


def _words(file: Path) -> frozenset[str]:
    """Return the texts of a Python file: the keys of hosts' data are among them."""
    if file.suffix != ".py":
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return frozenset(value for value in constants if isinstance(value, str))


def _file_with(name: str, group: str, folders: Iterable[Path]) -> str | None:
    files = [folder / f"{group}.py" for folder in folders]
    holding = [file for file in files if file.is_file() and name in _assigned(file)]
    return str(holding[-1]) if holding else None


def _assigned(file: Path) -> set[str]:
    """Return the names that a Python file sets, also inside ``if`` and ``with``."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _misspelt(data: Mapping[str, Any], sources: Mapping[str, str]) -> list[Problem]:
    """Find names that are probably meant as a block: settings which would silently not apply."""
    found = []
    for name, value in data.items():
        if name in BLOCKS or name.startswith("_") or not isinstance(value, Mapping):
            continue
        guess = near_miss(name, BLOCKS, cutoff=0.8)
        if guess is not None:
            text = (
                f"is no block of settings, did you mean {guess!r}? "
                f"(Blocks: {', '.join(BLOCKS)}; data of your own needs a name less like them)"
            )
            found.append(Problem(path=name, text=text, source=sources.get(name)))
    return found


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]
