"""One SSH connection a host, opened before the tests and shared by all of them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from uplift.remote import ssh_config
from uplift.remote.inventory import InventoryHost
from uplift.secrets import sudo
from uplift.spec.errors import UsageError

OPEN_LIMIT = 2.0 * ssh_config.CONNECT_TIMEOUT  # a server may also fall silent after its banner
COMMAND_LIMIT = 300.0
AT_ONCE = 16
SHELL = "UPLIFT_VERIFY_SHELL"
"""Variable with the program on the hosts that every command goes through: a rollout's fence."""
# A socket's path may have 107 characters, and ssh adds 17 while it makes one.
LONGEST_FOLDER = 80


@dataclass(frozen=True)
class Connection:
    """How to run a command on one host.

    Args:
        host: the host, with its groups and data.
        config: its OpenSSH configuration.
        problem: why it cannot be used, empty when it can.
        password: of sudo, empty when it needs none.
    """

    host: InventoryHost
    config: Path
    problem: str = ""
    password: str = field(default="", repr=False)

    def ssh(self, command: str) -> list[str]:
        """Return the words that run a command of a shell on the host, with the inventory's sudo.

        Args:
            command: for the shell.
        """
        return ["ssh", "-F", str(self.config), self.host.address, self._elevated(command)]

    def stdin(self, content: bytes) -> bytes:
        """Return what to write to :meth:`ssh`: sudo's password goes first, never into argv.

        Args:
            content: for the command.
        """
        first = "".join(f"{line}\n" for line in sudo.answer(self.password))
        return first.encode() + content

    def _elevated(self, command: str) -> str:
        shell = os.environ.get(SHELL)
        if not self.host.data.get("_sudo"):
            return shlex.join([shell, "-c", command]) if shell else command
        user = self.host.data.get("_sudo_user")
        become = ["sudo", "-H", *sudo.flags(self.password), *(["-u", str(user)] if user else [])]
        return shlex.join([*become, shell or "sh", "-c", sudo.before(self.password) + command])


@dataclass
class Connections:
    """The connections of a run, and the folder with their sockets."""

    folder: Path
    by_name: dict[str, Connection] = field(default_factory=dict)

    @classmethod
    def prepare(cls, hosts: Sequence[InventoryHost], project: Path) -> Connections:
        """Write a configuration for every host; nothing connects.

        Args:
            hosts: of the inventory.
            project: folder that relative paths of the inventory start from.

        Raises:
            UsageError: names every host that cannot be reached by ssh, and why.
        """
        refused = [f"{host.name}: {why}" for host in hosts if (why := ssh_config.refusal(host))]
        if refused:
            raise UsageError("these hosts cannot be verified:\n" + "\n".join(refused))
        if shutil.which("ssh") is None:
            raise UsageError("there is no ssh on this machine: apt-get install openssh-client")
        passwords = [sudo.password(host.data) for host in hosts]
        made = cls(_folder())
        for number, (host, password) in enumerate(zip(hosts, passwords, strict=True)):
            config = made.folder / f"{number}.conf"
            config.write_text(ssh_config.render(host, made.folder / f"{number}.sock", project))
            made.by_name[host.name] = Connection(host, config, password=password)
        return made

    def open(self) -> None:
        """Log in once to every host, several at a time; a host that fails gets its problem."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            problems = list(pool.map(_login, self.by_name.values()))
        for (name, one), problem in zip(list(self.by_name.items()), problems, strict=True):
            self.by_name[name] = replace(one, problem=problem)

    def close(self) -> None:
        """End the connections and remove their folder; may be called again."""
        for one in self.by_name.values():
            if one.config.with_suffix(".sock").exists():
                _quit(one)
        shutil.rmtree(self.folder, ignore_errors=True)

    def dump(self) -> dict[str, Any]:
        """Return plain data from which a worker process makes the same with :meth:`load`."""
        return {
            "folder": str(self.folder),
            "all": [asdict(one) | {"config": str(one.config)} for one in self.by_name.values()],
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> Connections:
        """Make what :meth:`dump` was called on, for a process that only uses it."""
        made = cls(Path(dumped["folder"]))
        for item in dumped["all"]:
            host = InventoryHost(**item["host"] | {"groups": tuple(item["host"]["groups"])})
            rest = {key: item[key] for key in ("problem", "password")}
            made.by_name[host.name] = Connection(host, Path(item["config"]), **rest)
        return made


def _folder() -> Path:
    """Make a folder for sockets, readable by nobody else, with a path short enough for them."""
    folder = tempfile.mkdtemp(prefix="uplift-")
    if len(folder) > LONGEST_FOLDER:
        Path(folder).rmdir()
        folder = tempfile.mkdtemp(prefix="uplift-", dir="/tmp")
    return Path(folder)


def _login(one: Connection) -> str:
    """Open the shared connection and run one command with the inventory's sudo."""
    # Into a file: the process that keeps the connection open holds on to its stderr.
    log = one.config.with_suffix(".log")
    with log.open("wb") as errors:
        try:
            done = subprocess.run(
                one.ssh("true"),
                input=one.stdin(b""),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=OPEN_LIMIT,
            )
        except subprocess.TimeoutExpired:
            return f"it accepted the connection and said nothing more for {OPEN_LIMIT:.0f} s"
        except FileNotFoundError:
            return "there is no ssh command on this machine"
    return _reason(log.read_text(errors="replace"), done.returncode)


def _reason(errors: str, code: int) -> str:
    if code == 0:
        return ""
    if sudo.REFUSED in errors:
        return f"sudo refused the password. {sudo.REMEDY}"
    if "IDENTIFICATION HAS CHANGED" in errors:
        return (
            "its host key is not the known one. Compare the fingerprints before you trust it: "
            "`uplift doctor` has the commands"
        )
    lines = [line.strip() for line in errors.splitlines() if line.strip(" @\r")]
    return " ".join(lines[-4:]) or f"ssh ended with exit code {code}"


def _quit(one: Connection) -> None:
    try:
        subprocess.run(
            ["ssh", "-F", str(one.config), "-O", "exit", one.host.address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=5,
        )
    except subprocess.TimeoutExpired:
        return  # it ends by itself when its socket is gone or its time without use is over
