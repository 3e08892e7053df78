"""An OpenSSH configuration that reaches a host of the inventory as pyinfra would.

One file a host, and ``ssh -F FILE ADDRESS``: what people have in ``~/.ssh/config`` under that
address (aliases, bastions, agents) is included and works as it does for pyinfra.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from uplift.remote.inventory import InventoryHost

CONNECT_TIMEOUT = 10  # seconds, also for a server that accepts and then says nothing
KEEP_MASTER = 1800  # seconds without use after which a connection that was left behind ends

_ADDRESS = re.compile(r"[A-Za-z0-9_.:%-]+")
_KEY_CHECKING = {"yes": "yes", "accept-new": "accept-new", "ask": "yes"}

# What pyinfra can do and a plain `ssh` without a terminal cannot: key of the data, and the way out.
_REFUSED = {
    "ssh_password": "a password cannot be given to ssh: use a key or an agent",
    "ssh_key_password": "a key's passphrase cannot be given to ssh: add the key to an agent",
    "_use_sudo_password": "nobody can be asked for a password here: set _sudo_password",
    "_su_user": "su is not supported: use _sudo",
    "_doas": "doas is not supported: use _sudo",
    "_dzdo": "dzdo is not supported: use _sudo",
}

# Arguments of paramiko that `ssh` has in its own words (ConnectTimeout, ServerAliveInterval).
_TIME_LIMITS = {"auth_timeout", "banner_timeout", "channel_timeout"}


def refusal(host: InventoryHost) -> str | None:
    """Say why a host cannot be reached by ``ssh``, before anything connects.

    Args:
        host: with its connection data.

    Returns:
        The key that is in the way and what to do, or None; never a value that may be secret.
    """
    if host.connector != "ssh":
        return f"the connector @{host.connector} is not supported: only hosts with SSH are"
    if not _ADDRESS.fullmatch(host.address) or host.address.startswith("-"):
        return f"ssh_hostname: {host.address!r} is not a name or an address"
    for key, remedy in _REFUSED.items():
        if host.data.get(key):
            return f"{key}: {remedy}"
    if set(host.data.get("ssh_paramiko_connect_kwargs") or {}) - _TIME_LIMITS:
        return "ssh_paramiko_connect_kwargs: these are for paramiko alone: use ssh_config_file"
    checking = _checking(host)
    if checking not in _KEY_CHECKING:
        allowed = ", ".join(sorted(_KEY_CHECKING))
        return f"ssh_strict_host_key_checking: {checking!r} is refused, allowed: {allowed}"
    return _unwritable(host)


def render(host: InventoryHost, control_path: Path, project: Path) -> str:
    """Write the configuration of one host, for use with its address.

    Args:
        host: one that is not refused.
        control_path: where the shared connection's socket will be.
        project: folder that relative paths of the inventory start from.
    """
    own = [*_login(host, project), *_host_key(host, project), *_shared(control_path)]
    included = _path(host.data.get("ssh_config_file") or "~/.ssh/config", project)
    for_all = [  # bastions on the way too: nothing may wait for an answer, or for ever
        "BatchMode yes",
        f"ConnectTimeout {CONNECT_TIMEOUT}",
        "ServerAliveInterval 5",
        "ServerAliveCountMax 3",
        "LogLevel ERROR",
        f"Include {_quoted(included)}",
    ]
    return _block(f"Host {host.address}", own) + _block("Host *", for_all)


def _login(host: InventoryHost, project: Path) -> list[str]:
    data = host.data
    lines = [f"Port {int(data['ssh_port'])}"] if data.get("ssh_port") else []
    if data.get("ssh_user"):
        lines.append(f"User {_quoted(data['ssh_user'])}")
    if data.get("ssh_key"):
        lines += [f"IdentityFile {_token_free(data['ssh_key'], project)}", "IdentitiesOnly yes"]
    elif data.get("ssh_look_for_keys") is False:
        lines.append("IdentityFile none")
    if data.get("ssh_allow_agent") is False:
        lines.append("IdentityAgent none")
    return lines


def _host_key(host: InventoryHost, project: Path) -> list[str]:
    lines = [f"StrictHostKeyChecking {_KEY_CHECKING[_checking(host)]}"]
    known = host.data.get("ssh_known_hosts_file")
    if known:
        lines.append(f"UserKnownHostsFile {_token_free(known, project)}")
        lines.append("GlobalKnownHostsFile /dev/null")  # pyinfra reads that one file, no other
    return lines


def _shared(control_path: Path) -> list[str]:
    return [
        "ControlMaster auto",
        f"ControlPath {_token_free(control_path, Path('/'))}",
        f"ControlPersist {KEEP_MASTER}",
        # What a person has set for interactive work must not get in the way.
        "ForwardAgent no",
        "ForwardX11 no",
        "ClearAllForwardings yes",
        "PermitLocalCommand no",
        "RemoteCommand none",
        "RequestTTY no",
    ]


def _checking(host: InventoryHost) -> str:
    """Return what the inventory says on host keys; accept-new is pyinfra's default."""
    return str(host.data.get("ssh_strict_host_key_checking") or "accept-new").lower()


def _unwritable(host: InventoryHost) -> str | None:
    """Name a value that cannot stand in an OpenSSH configuration."""
    for key in ("ssh_user", "ssh_key", "ssh_known_hosts_file", "ssh_config_file"):
        value = str(host.data.get(key) or "")
        if '"' in value or any(ord(char) < 32 for char in value):
            return f"{key}: quotes and control characters cannot be written for ssh"
    port = str(host.data.get("ssh_port") or 22)
    if not port.isdigit() or not 0 < int(port) < 65536:
        return f"ssh_port: {port!r} is not a port"
    return None


def _path(value: Any, project: Path) -> Path:
    path = Path(str(value)).expanduser()
    return path if path.is_absolute() else project / path


def _token_free(value: Any, project: Path) -> str:
    """Quote a path for an option in which ssh would expand ``%`` and ``${…}``."""
    return _quoted(str(_path(value, project)).replace("%", "%%"))


def _quoted(value: Any) -> str:
    return f'"{value}"'


def _block(head: str, lines: list[str]) -> str:
    return "\n".join([head, *(f"  {line}" for line in lines)]) + "\n"
