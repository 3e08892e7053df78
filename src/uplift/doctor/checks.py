"""What the remote command saw: sudo, system, Docker, disk, clock."""

from __future__ import annotations

from collections.abc import Mapping

from uplift.doctor.probe import Seen
from uplift.doctor.report import Finding, failed, ok, skipped, warning
from uplift.secrets import sudo as answer

SYSTEMS = {("debian", "12"), ("debian", "13")}
MACHINES = ("x86_64", "aarch64")
CLOCK_LIMIT = 5.0  # seconds: tokens and certificates that are just made are refused beyond it

# For each folder: what it is for, MB below which nothing works, MB below which it gets tight.
_DISK = {"/var/lib/docker": ("images", 500, 5000), "/opt": ("uv", 200, 500)}


def of_host(seen: Seen, *, has_sudo: bool, manages_docker: bool) -> list[Finding]:
    """Return the findings about a host that was reached.

    Args:
        seen: on the host.
        has_sudo: the inventory says to become another user.
        manages_docker: the settings have a block ``docker``.
    """
    found = [ok("shell", "POSIX shell"), sudo(seen, has_sudo), system(seen.values), clock(seen)]
    if "uid" in seen.values:
        found += [docker(seen.values, manages_docker), disk(seen.values)]
    else:
        found += [skipped(check, "needs sudo") for check in ("docker", "disk")]
    return found


def sudo(seen: Seen, has_sudo: bool) -> Finding:
    """Return whether commands run as root."""
    user, uid = seen.values.get("user", "?"), seen.values.get("uid")
    if uid == "0" and "noexec" in seen.values:
        return failed(
            "sudo",
            f"pyinfra's helper that hands over the password cannot run in {seen.values['noexec']}",
            "That folder allows no programs (noexec). Set _temp_dir to another, or allow sudo "
            "without a password.",
        )
    if uid == "0":
        return ok("sudo", "root" if user == "root" else f"{user} becomes root")
    if uid is not None and not has_sudo:
        return failed(
            "sudo",
            f"{user} is not root",
            "Say that commands run as root by sudo; in the inventory, with the host's data: "
            '"_sudo": True',
        )
    if uid is not None:
        return failed(
            "sudo",
            f"commands run as user {uid}, not as root",
            "Deploys change the system: leave _sudo_user and _su_user out of the inventory.",
        )
    for part, text, remedy in _SUDO:
        if part in seen.complaint:
            return failed("sudo", text.format(user=user), remedy.format(user=user), part)
    said = next((line for line in seen.complaint.splitlines() if line.strip()), "nothing")
    return failed("sudo", f"did not work, it said: {said}", "Log in and try: sudo -n true")


def system(values: Mapping[str, str]) -> Finding:
    """Return whether the operating system and the machine are supported."""
    name = values.get("pretty") or values.get("kernel") or "unknown"
    machine = values.get("machine", "unknown")
    if values.get("kernel") != "Linux":
        return failed("system", name, "Hosts need Linux.")
    if machine not in MACHINES:
        return failed(
            "system", f"{name}, {machine}", f"Hosts need one of: {', '.join(MACHINES)} (for uv)."
        )
    if (values.get("id"), values.get("version")) not in SYSTEMS:
        return warning(
            "system",
            name,
            "Tested on Debian 12 and 13. Elsewhere uv and client files work, "
            "deploys/docker.py refuses\nunless an Engine is there already.",
        )
    return ok("system", name)


def docker(values: Mapping[str, str], managed: bool) -> Finding:
    """Return the state of the Docker Engine."""
    client, server = values.get("docker.client"), values.get("docker.server")
    if client is None:
        return _no_docker(values, managed)
    if "podman" in client.lower():
        return warning(
            "docker",
            client,
            "`docker` is Podman here, which Docker's deploys do not manage: remove podman-docker.",
        )
    if server:
        return ok("docker", f"Engine {server}")
    error = values.get("docker.error") or "the daemon does not answer"
    unit = values.get("docker.unit") or "unknown"
    return failed(
        "docker",
        f"installed, but does not answer (unit docker: {unit}): {error}",
        "On the host: `journalctl -u docker -n 50`; after repeated failures\n"
        "`systemctl reset-failed docker && systemctl start docker`.",
    )


def _no_docker(values: Mapping[str, str], managed: bool) -> Finding:
    if not managed:
        return ok("docker", "none, and none wanted")
    if (values.get("id"), values.get("version")) in SYSTEMS:
        return ok("docker", "none yet")
    return failed(
        "docker",
        "none, and none can be installed here",
        "deploys/docker.py installs the Engine of Debian 12 and 13 only: install one by hand,\n"
        "or set `docker = None` in the group data of these hosts.",
    )


def disk(values: Mapping[str, str]) -> Finding:
    """Return whether there is room, and whether it can be written to."""
    worst = ok("disk", ", ".join(f"{_mb(values, f)} MB in {f}" for f in _DISK))
    for folder, (what, least, tight) in _DISK.items():
        if values.get(f"readonly.{folder}"):
            return failed(
                "disk", f"{folder} is read-only", f"Mount it writable: {folder} holds {what}."
            )
        free = _mb(values, folder)
        text = f"{free} MB free in {folder}"
        remedy = f"{folder} holds {what}. Look for what can go: `df -h {folder}`" + (
            ", `docker system df`." if "docker" in folder else "."
        )
        if free < least:
            return failed("disk", text, remedy, f"full {folder}")
        if free < tight and not worst.remedy:
            worst = warning("disk", text, remedy, f"tight {folder}")
    return worst


def clock(seen: Seen) -> Finding:
    """Return whether host and controller have the same time."""
    if seen.offset is None:
        return skipped("clock", "the host's time could not be read")
    beyond = abs(seen.offset) - seen.uncertainty
    if beyond <= CLOCK_LIMIT:
        return ok("clock", f"{abs(seen.offset):.1f} s apart")
    direction = "ahead of" if seen.offset > 0 else "behind"
    return warning(
        "clock",
        f"{abs(seen.offset):.0f} s {direction} this machine",
        "Tokens and certificates fail when clocks differ. On whichever is wrong:\n"
        "`timedatectl set-ntp true` (Debian: apt-get install systemd-timesyncd).",
        "apart",
    )


def _mb(values: Mapping[str, str], folder: str) -> int:
    free = values.get(f"free.{folder}", "")
    return int(free) // 1024 if free.isdigit() else 0


# What sudo says (LC_ALL is not passed on to it, but its messages of failure are English in the
# packages of every distribution without language packs): part of it, finding, remedy.
_SUDO = (
    (
        "must have a tty",
        "sudo wants a terminal (requiretty)",
        "Set _get_pty = True for these hosts, or on the host: visudo, and remove "
        "`Defaults requiretty`.",
    ),
    (
        "password is required",
        "sudo asks {user} for a password",
        "Allow it without one; on the host, as root:\n"
        "  echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user} && visudo -c\n"
        "or name a secret with the password in group data: "
        'sudo_password = secret("prod/sudo"), and `uplift secrets set prod/sudo`',
    ),
    (
        "interactive authentication is required",
        "sudo asks {user} for a password",
        "Allow it without one; on the host, as root:\n"
        "  echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user} && visudo -c",
    ),
    (
        answer.REFUSED,
        "sudo refused the password of the inventory",
        answer.REMEDY,
    ),
    (
        "not in the sudoers file",
        "{user} may not use sudo",
        "On the host, as root:\n"
        "  echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user} && visudo -c",
    ),
    (
        "is not allowed to execute",
        "sudo does not allow {user} everything",
        "Deploys run `sh` by sudo. On the host, as root:\n"
        "  echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user} && visudo -c",
    ),
    (
        "sudo: not found",
        "there is no sudo",
        "Install it (apt-get install sudo), or log in as root (ssh_user) without _sudo.",
    ),
)
