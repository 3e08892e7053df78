"""A host that could not be reached: what each reason means and what to do."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

from uplift.doctor.report import Finding, complete, failed, ok
from uplift.remote.destination import Destination
from uplift.remote.unreachable import Reason, Unreachable

_CHECK = {
    Reason.HOST_KEY_UNKNOWN: "host key",
    Reason.HOST_KEY_CHANGED: "host key",
    Reason.AUTHENTICATION: "login",
    Reason.KEY_FILE: "login",
    Reason.SHELL: "shell",
    Reason.LOST: "shell",
}
# Stages that were passed before the one that failed; a key file is read before anything else.
_PASSED = {
    "connect": (),
    "host key": ("connect",),
    "login": ("connect", "host key"),
    "shell": ("connect", "host key", "login"),
}


def findings(error: Unreachable, to: Destination) -> tuple[Finding, ...]:
    """Return the checks of a host that could not be reached.

    Args:
        error: with its reason.
        to: where it was looked for.
    """
    check = _CHECK.get(error.reason, "connect")
    passed = () if error.reason is Reason.KEY_FILE else _PASSED[check]
    done = [ok(earlier, "") for earlier in passed]
    text = remedy(error.reason, _who(error.detail, to))
    wrong = failed(check, error.detail, text, error.reason)
    return complete([*done, wrong], "not reached")


def _who(detail: str, to: Destination) -> Destination:
    """Return whose key is unknown: it may be the bastion's on the way."""
    found = re.search(r"No host key for \[?([^\]\s]+?)(?:\]:(\d+))? found", detail)
    if found is None or not to.bastion or found[1] in (to.address, f"{to.address}:{to.port}"):
        return to
    port = int(found[2] or 22)
    return replace(to, address=found[1], port=port, bastion=None, known_hosts=_DEFAULT_KNOWN)


_DEFAULT_KNOWN = "~/.ssh/known_hosts"


def remedy(reason: Reason, to: Destination) -> str:
    """Return what to do about a reason, with the commands for one host.

    Args:
        reason: why the host was not reached.
        to: where it was looked for.
    """
    return _REMEDIES[reason].format(
        address=to.address,
        port=to.port,
        user=to.user,
        known_hosts=to.known_hosts,
        scan=_scan(to),
        entry=shlex.quote(to.address if to.port == 22 else f"[{to.address}]:{to.port}"),
        ssh=_ssh(to),
        copy_id=_copy_id(to),
        bastion=_BASTION if to.bastion else "",
    )


def _ssh(to: Destination) -> str:
    port = f"-p {to.port} " if to.port != 22 else ""
    return f"ssh {port}{shlex.quote(f'{to.user}@{to.address}')}"


def _scan(to: Destination) -> str:
    port = f"-p {to.port} " if to.port != 22 else ""
    return f"ssh-keyscan -t ed25519 {port}{shlex.quote(to.address)} > new-key"


def _copy_id(to: Destination) -> str:
    key = f"-i {to.key}.pub " if to.key else ""
    port = f"-p {to.port} " if to.port != 22 else ""
    return f"ssh-copy-id {key}{port}{shlex.quote(f'{to.user}@{to.address}')}"


_BASTION = " (The way leads through a bastion: run this on the bastion.)"

_COMPARE = """\
Get the key, and compare its fingerprint with the one on the host's own console:
  {scan}{bastion}
  ssh-keygen -lf new-key
  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub      (on the host's console)
Only when they are the same:
  {then}cat new-key >> {known_hosts}
Without the comparison, whoever answers now is trusted from then on."""

_REMEDIES = {
    Reason.RESOLVE: (
        "No address for {address}. Check the spelling in the inventory and `getent hosts {address}`"
        ";\na host that has another address gets it in the inventory: "
        '("name", {{"ssh_hostname": "192.0.2.10"}})'
    ),
    Reason.REFUSED: (
        "The machine answers, but nothing listens on port {port}.\nOn its console: "
        "`systemctl status ssh`. Another port: ssh_port in the inventory."
    ),
    Reason.TIMEOUT: (
        "No answer from {address} port {port}: wrong address, machine off, firewall or VPN.\n"
        "Try: {ssh} -v"
    ),
    Reason.NETWORK: (
        "There is no way to {address}: check network and VPN of this machine, then the address.\n"
        "Try: {ssh} -v"
    ),
    Reason.BANNER: (
        "{address} port {port} accepts connections and then says nothing: sshd is overloaded or "
        "hangs\n(MaxStartups, a full disk), or it is no sshd at all. On its console: "
        "`systemctl restart ssh`."
    ),
    Reason.HOST_KEY_UNKNOWN: _COMPARE.replace("{then}", ""),
    Reason.HOST_KEY_CHANGED: (
        "The host shows another key than the one in {known_hosts}: it was installed anew, or "
        "somebody\nis between you and the host. "
        + _COMPARE.replace("{then}", "ssh-keygen -R {entry} -f {known_hosts} && ")
    ),
    Reason.AUTHENTICATION: (
        "{user}@{address} refused every key that was offered. Try: {ssh}\n"
        "Bring the key to the host: {copy_id}\n"
        "Another user or key: ssh_user and ssh_key in the inventory; `ssh-add -l` lists an agent's."
    ),
    Reason.KEY_FILE: (
        "The private key of the inventory (ssh_key) cannot be used: name a file that exists, "
        "or load an\nencrypted key into an agent (`ssh-add`) and leave ssh_key out."
    ),
    Reason.SHELL: (
        "The login works, but gives no POSIX shell. On the host: `getent passwd {user}` must end "
        "in a shell\n(`chsh -s /bin/sh {user}`), and no ForceCommand or command= may stand in "
        "sshd_config or authorized_keys."
    ),
    Reason.LOST: (
        "The connection ended in the middle of a command. Try: {ssh}\n"
        "On the host: `journalctl -u ssh -n 50`."
    ),
    Reason.OTHER: "Try: {ssh} -v",
}
