"""How the server is started and asked: words that no image but Redis' own programs must know."""

from __future__ import annotations

from uplift.spec.secret import Secret, SecretRef

WHERE = "/data"

AUTH = SecretRef(secret="redis/auth.conf")  # noqa: S106 - its name
"""The file with the password, as a container's secret; it is made of the password alone."""

# Redis loads either the append-only file or the dump, by its setting and not by what is there:
# switched on over a dump alone it would start empty, and over the file of an earlier time with old
# data. So it starts with what the volume holds, and is switched while it runs.
START = """\
if [ -e /data/appendonlydir/appendonly.aof.manifest ] || [ -e /data/appendonly.aof ]; then on=yes
elif [ -e /data/dump.rdb ]; then on=no
else on=$1; fi
shift
exec redis-server /run/secrets/auth.conf "$@" --appendonly "$on"
"""

# The line of the file is redis-cli's as well, but for its first word.
HEALTH = """\
{ sed -n 's/^requirepass /AUTH /p' /run/secrets/auth.conf; echo PING; } |
  redis-cli | grep -qx PONG
"""


def auth_file(password: Secret) -> Secret:
    """Return the configuration file that holds the password.

    Args:
        password: any bytes but none.
    """
    return Secret(f"requirepass {quoted(password.reveal())}\n")


def auth_command(password: Secret) -> Secret:
    """Return the line with which ``redis-cli`` logs in.

    Args:
        password: as in the file.
    """
    return Secret(f"AUTH {quoted(password.reveal())}")


def quoted(text: str) -> str:
    """Return a text as one word for ``redis.conf`` and ``redis-cli``, whatever it holds.

    Args:
        text: the text.
    """
    plain = all(char.isascii() and (char.isalnum() or char in "-_.:*") for char in text)
    if plain and text:
        return f'"{text}"'
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'
