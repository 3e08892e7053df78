"""This machine: packages, programs, project folder, group data, settings, secrets."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from uplift import secrets
from uplift.doctor.report import Finding, failed, ok, warning
from uplift.remote.inventory import InventoryHost
from uplift.remote.settings import from_host
from uplift.settings import Settings
from uplift.spec.errors import Problem, SettingsError, UpliftError

_DISTRIBUTION = "pyinfra-uplift"


def machine() -> list[Finding]:
    """Return findings that need no inventory."""
    return [_python(), _packages(), _pyinfra(), _ssh(), _folder(Path.cwd())]


def of_inventory(
    inventory: str, hosts: Sequence[InventoryHost], groups: Iterable[str]
) -> tuple[list[Finding], dict[str, Settings]]:
    """Return findings about an inventory that was loaded, and the settings of its hosts.

    Args:
        inventory: the file, or what else pyinfra takes.
        hosts: those that are looked at; hosts with wrong settings are missing in the result.
        groups: of all hosts, also of those that are not looked at.
    """
    settings: dict[str, Settings] = {}
    problems: dict[Problem, list[str]] = {}
    for host in hosts:
        try:
            settings[host.name] = from_host(host, inventory)
        except SettingsError as error:
            for problem in error.problems:
                problems.setdefault(problem, []).append(host.name)
    noun = "host" if len(hosts) == 1 else "hosts"
    found = [ok("inventory", f"{len(hosts)} {noun}"), *_unread(Path.cwd(), groups)]
    found.append(_settings(problems, len(hosts)))
    return [*found, *_secrets(settings.values())], settings


def unusable(error: UpliftError) -> Finding:
    """Return the finding about an inventory, or its settings, that pyinfra could not load."""
    return failed(
        "inventory",
        "cannot be used",
        f"{error}\nNothing was connected to. Correct this first, then ask again.",
    )


def _python() -> Finding:
    running = ".".join(str(part) for part in sys.version_info[:3])
    wanted = metadata.metadata(_DISTRIBUTION)["Requires-Python"]
    if SpecifierSet(wanted).contains(running, prereleases=True):
        return ok("python", running)
    return failed(
        "python", f"{running}, wanted {wanted}", "Make the environment with another Python."
    )


def _packages() -> Finding:
    wrong = []
    for text in metadata.requires(_DISTRIBUTION) or []:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        have = _version(requirement.name)
        if have is None or not requirement.specifier.contains(have, prereleases=True):
            wrong.append(f"{requirement.name} {have or 'missing'} (wanted {requirement.specifier})")
    if not wrong:
        return ok("packages", f"pyinfra {_version('pyinfra')}, uplift {_version(_DISTRIBUTION)}")
    return failed("packages", "; ".join(wrong), f"pip install --upgrade {_DISTRIBUTION}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _pyinfra() -> Finding:
    """Look whether the `pyinfra` that people type is this environment's."""
    ours = Path(sys.executable).parent
    found = shutil.which("pyinfra")
    if found and Path(found).parent == ours:
        return ok("pyinfra", found)
    text = f"`pyinfra` is {found}" if found else "`pyinfra` is not on PATH"
    return warning(
        "pyinfra",
        f"{text}, not {ours}/pyinfra",
        f"It would not find uplift. Switch to the environment: . {ours}/activate",
    )


def _ssh() -> Finding:
    found = shutil.which("ssh")
    if found:
        return ok("ssh", found)
    return warning(
        "ssh", "no OpenSSH client", "`uplift verify` needs it: apt-get install openssh-client"
    )


def _folder(folder: Path) -> Finding:
    absent = [name for name in ("config.py", "group_data") if not (folder / name).exists()]
    if not absent:
        return ok("folder", str(folder))
    return warning(
        "folder",
        f"{folder} has no {' and no '.join(absent)}",
        "pyinfra reads both only in the folder where it is started. Change to your project's "
        "folder,\nor make a project: uplift init DIR",
    )


def _unread(folder: Path, of_hosts: Iterable[str]) -> list[Finding]:
    """Find group data that no inventory's group is named after: pyinfra never reads it."""
    groups = {"all", *of_hosts}
    others = sorted((folder / "inventories").glob("*.py"))
    # Groups of other inventories have theirs: those are not loaded, only their names looked for.
    known = {file.stem for file in others}
    for file in others:
        known |= set(re.findall(r"^(\w+) *=", file.read_text("utf-8"), re.MULTILINE))
    files = sorted((folder / "group_data").glob("*.py"))
    unread = [file for file in files if file.stem not in groups | known and _has_values(file)]
    if not unread:
        return []
    return [
        warning(
            "group data",
            f"not read for these hosts: {', '.join(file.name for file in unread)}",
            "A file in group_data is read when a group has its name. Groups here: "
            f"{', '.join(sorted(groups))}",
        )
    ]


def _has_values(file: Path) -> bool:
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return any(" = " in line and not line.startswith("#") for line in lines)


def _settings(problems: Mapping[Problem, Sequence[str]], count: int) -> Finding:
    """Return each problem once, with the hosts that have it unless it is all of them."""
    if not problems:
        return ok("settings", "valid")
    lines = [
        str(problem) + (f" ({', '.join(names)})" if len(names) < count else "")
        for problem, names in problems.items()
    ]
    return failed("settings", f"{len(problems)} wrong", "Correct:\n" + "\n".join(lines))


def _secrets(settings: Iterable[Settings]) -> list[Finding]:
    """Look up every secret that is named; a value is never shown."""
    wanted = {ref for one in settings for ref in secrets.references(one)}
    if not wanted:
        return [ok("secrets", "none needed")]
    try:
        absent = secrets.missing(sorted(wanted, key=str))
    except UpliftError as error:
        return [failed("secrets", "cannot be read", str(error))]
    if not absent:
        return [ok("secrets", f"{len(wanted)} found")]
    names = [name for error in absent for name in error.names]
    return [
        failed(
            "secrets",
            f"{len(names)} of {len(wanted)} missing: {', '.join(names)}",
            "\n".join(str(error) for error in absent),
        )
    ]
