"""Talk to a Redis through its published port, as any program on the host could."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from uplift.secrets import Secret
from uplift.spec.redis import Redis
from uplift.spec.redis.server import auth_command

if TYPE_CHECKING:
    from testinfra.host import Host

# bash opens the connection: hosts have no client of Redis. The server ends it at QUIT.
_ASK = "timeout 20 bash -c 'exec 3<>\"/dev/tcp/$1/$2\" && cat >&3 && cat <&3' bash %s %s"


def ask(
    host: Host, settings: Redis, commands: Sequence[str], password: Secret | None = None
) -> list[str]:
    """Return the lines with which the server answers, as they go over the wire.

    Args:
        host: testinfra's.
        settings: where it listens.
        commands: one a line, as for a person with telnet.
        password: sent first, where there is one.
    """
    first = [auth_command(password).reveal()] if password else []
    text = "".join(f"{line}\r\n" for line in [*first, *commands, "QUIT"])
    place = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.address, settings.address)  # noqa: S104
    done = host.run(_ASK, place, str(settings.port), stdin=Secret(text))
    assert done.rc == 0, f"nobody answers at {place}:{settings.port}: {done.stderr.strip()}"
    return str(done.stdout).splitlines()


def config(host: Host, settings: Redis, password: Secret, key: str) -> str:
    """Return a value of the running server's configuration.

    Args:
        host: testinfra's.
        settings: where it listens.
        password: of the user ``default``.
        key: of ``redis.conf``.
    """
    lines = ask(host, settings, [f"CONFIG GET {key}"], password)
    assert lines[:2] == ["+OK", "*2"], f"CONFIG GET {key}: {lines[:2]}"
    return lines[5]
