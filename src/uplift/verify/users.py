"""Run a command on a host as one of its users would."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testinfra.backend.base import CommandResult
    from testinfra.host import Host

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@cache
def home(host: Host, user: str) -> str:
    """Return the home of a user of the host; each is asked for once.

    Args:
        host: testinfra's.
        user: its name.
    """
    entry = host.run("getent passwd %s", user)
    assert entry.rc == 0, f"there is no user {user!r}"
    return str(entry.stdout.split(":")[5])


def as_user(host: Host, user: str, command: str, *args: str, **kwargs: Any) -> CommandResult:
    """Run a command in a user's home with the environment of a fresh login.

    Args:
        host: testinfra's.
        user: its name; the connection must be root's.
        command: for the shell; ``%s`` stands for quoted arguments.
        args: the arguments.
        kwargs: as for ``host.run``.
    """
    folder = home(host, user)
    return host.run(
        # env -i: what the ssh login or sudo has set must not reach the client programs.
        "runuser -u %s -- env -i HOME=%s USER=%s LOGNAME=%s PATH=%s LC_ALL=C.UTF-8 sh -c %s",
        *(user, folder, user, user, PATH),
        # System users often have no home.
        f'cd "$HOME" 2>/dev/null || cd /; {host.backend.quote(command, *args)}',
        **kwargs,
    )


def has(host: Host, user: str, command: str) -> bool:
    """Tell whether a command works for a user.

    Args:
        host: testinfra's.
        user: its name.
        command: for the shell, one without effect such as ``npm --version``.
    """
    return bool(as_user(host, user, command).rc == 0)
