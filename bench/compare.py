"""Run each way once fresh and once with nothing to do, on 1, 3 and 10 hosts, again and again.

Every run is checked: after the first the twelve files are there with owner and mode, and the second
leaves every inode and time of change as it was. Results go to bench/results/ as JSON lines.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import raw
import work

BIN = work.ROOT / ".venv" / "bin"
ANSIBLE = work.ROOT / ".uplift" / "bench-venv"
LIMIT = 600  # seconds for one run of one way
MASTERS = work.PLACE / "masters"

Host = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """One way to do the work.

    Args:
        name: in results and table.
        words: command line, ``{n}`` is the number of hosts.
        environment: added to the process's own.
        writes: it does the work; else it is a floor.
    """

    name: str
    words: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    writes: bool = True


def ways() -> list[Way]:
    """Return what is compared."""
    pyinfra = (str(BIN / "pyinfra"), "inventories/hosts{n}.py")
    playbook = (str(ANSIBLE / "bin/ansible-playbook"), "-i", "inventories/hosts{n}.ini")
    site = next((ANSIBLE / "lib").glob("python*")) / "site-packages"
    mitogen = (
        ("ANSIBLE_STRATEGY_PLUGINS", str(site / "ansible_mitogen/plugins/strategy")),
        ("ANSIBLE_STRATEGY", "mitogen_linear"),
    )
    return [
        Way("ssh floor", ("ssh",), writes=False),
        Way("uplift", (*pyinfra, "deploys/clients.py", "-y")),
        Way("pyinfra files.put", (*pyinfra, "stock_operations.py", "-y")),
        Way("ansible, pipelining", (*playbook, "playbook.yml")),
        Way("ansible, mitogen", (*playbook, "playbook.yml"), mitogen),
    ]


def ssh(host: Host, *options: str) -> list[str]:
    """Return the words of an OpenSSH command that checks the host's key."""
    own = {
        "UserKnownHostsFile": host["known_hosts_file"],
        "IdentityFile": host["identity_file"],
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
    }
    words = ["ssh", "-F", "none", "-p", str(host["port"]), "-l", host["user"], *options]
    for key, value in own.items():
        words += ["-o", f"{key}={value}"]
    return [*words, host["address"]]


def on_all(hosts: list[Host], command: str) -> list[str]:
    """Run a shell command on hosts at the same time and return what each printed."""

    def one(host: Host) -> str:
        words = [*ssh(host), "sudo", "sh"]
        done = subprocess.run(
            words, input=command, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    with ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(one, hosts))


def reset(hosts: list[Host]) -> None:
    """Take the files away and make their folders, as before a first run."""
    gone = " ".join(file["path"] for file in work.files())
    lines = ["mkdir -p /etc/uv", "rm -rf /var/lib/uplift", f"rm -f {gone}"]
    for folder in work.FOLDERS:
        user = folder.split("/")[2]
        lines.append(f"sudo -u {user} mkdir -p {folder}")
    on_all(hosts, "set -e\n" + "\n".join(lines) + "\n")


def state(hosts: list[Host]) -> list[str]:
    """Return owner, mode, inode and time of change of the files on each host."""
    paths = " ".join(file["path"] for file in work.files())
    return on_all(hosts, f"stat -c '%n %U %a %i %Z' {paths}\n")


def check(states: list[str]) -> None:
    """Refuse a result when the work was not done."""
    wanted = {(f["path"], f["owner"], f["mode"]) for f in work.files()}
    for text in states:
        found = {tuple(line.split()[:3]) for line in text.splitlines()}
        if found != wanted:
            sys.exit(f"the work was not done: {sorted(wanted ^ found)}")


def sessions(hosts: list[Host], since: str) -> float:
    """Return how many commands and file transfers sshd saw, for each host."""
    total = 0
    for host in hosts:
        words = ["docker", "logs", "--since", since, host["container"]]
        log = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        total += len(re.findall(r"Starting session:", log.stdout + log.stderr))
    return total / len(hosts)


def floor(hosts: list[Host]) -> None:
    """Say `true` on each host at the same time, over one master connection a host."""
    options = ["ControlMaster=auto", f"ControlPath={MASTERS}/%h", "ControlPersist=60"]
    words = [word for option in options for word in ("-o", option)]
    running = [
        subprocess.Popen(
            [*ssh(host, *words), "true"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for host in hosts
    ]
    if any(process.wait(LIMIT) for process in running):
        sys.exit("ssh failed")


def run(way: Way, hosts: list[Host]) -> dict[str, Any]:
    """Do the work once and return how long it took and what sshd saw."""
    since = datetime.now(UTC).isoformat()
    load = raw.load()
    before = os.times()
    began = time.monotonic()
    if way.writes:
        words = [word.replace("{n}", str(len(hosts))) for word in way.words]
        done = subprocess.run(
            words,
            cwd=work.PROJECT,
            env={
                **os.environ,
                **dict(way.environment),
                "UPLIFT_SECRET_BENCH_DEPLOYER": work.PASSWORD,
                "PYINFRA_PROGRESS": "off",
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(MASTERS),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        if done.returncode:
            sys.exit(f"{way.name} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    else:
        floor(hosts)
    seconds = time.monotonic() - began
    after = os.times()
    cpu = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    return {
        "seconds": round(seconds, 3),
        "controller_cpu": round(cpu, 3),
        "sessions_a_host": sessions(hosts, since),
        **load,
    }


def measure(way: Way, hosts: list[Host]) -> list[dict[str, Any]]:
    """Run one way fresh and again, both checked."""
    end_masters()
    if not way.writes:
        return [{"run": name, **run(way, hosts)} for name in ("first", "second")]
    reset(hosts)
    first = {"run": "first", **run(way, hosts)}
    check(written := state(hosts))
    second = {"run": "second", **run(way, hosts)}
    if state(hosts) != written:
        sys.exit(f"{way.name}: the second run changed something")
    return [first, second]


def end_masters() -> None:
    """End the connections that OpenSSH keeps, so that each way starts without."""
    MASTERS.mkdir(parents=True, exist_ok=True)
    for socket in MASTERS.iterdir():
        words = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"]
        subprocess.run(words, capture_output=True, timeout=10)


def versions() -> dict[str, str]:
    """Return what was compared, on what."""
    listing = subprocess.run(
        [str(ANSIBLE / "bin/pip"), "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    theirs = {item["name"]: item["version"] for item in json.loads(listing.stdout)}
    openssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, timeout=10).stderr
    return {
        "python": platform.python_version(),
        "pyinfra": metadata.version("pyinfra"),
        "ansible-core": theirs["ansible-core"],
        "mitogen": theirs["mitogen"],
        "openssh": openssh.split(",")[0],
    }


def main() -> None:
    """Compare, and write results as they come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lab", type=Path, help="what `uplift lab up --json` printed")
    parser.add_argument("--hosts", default="1,3,10")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--skip", action="append", default=[], help="a way to leave out")
    arguments = parser.parse_args()
    hosts = json.loads(arguments.lab.read_text())["hosts"]
    chosen = [way for way in ways() if way.name not in arguments.skip]
    work.write_project(hosts)
    counts = [int(word) for word in arguments.hosts.split(",")]
    rounds = [(repeat, count) for repeat in range(arguments.repeat) for count in counts]
    lines = (line for repeat, count in rounds for line in _round(repeat, hosts[:count], chosen))
    raw.keep("clients", versions(), lines)


def _round(repeat: int, hosts: list[Host], order: list[Way]) -> Iterator[raw.Line]:
    """Measure every way once; each round starts with another, so that none is always first."""
    order = order[repeat % len(order) :] + order[: repeat % len(order)]
    for way in order:
        for found in measure(way, hosts):
            yield {"way": way.name, "hosts": len(hosts), "repeat": repeat, **found}


if __name__ == "__main__":
    main()
