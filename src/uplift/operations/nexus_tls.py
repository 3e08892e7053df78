"""Give a Nexus its certificate: signed by the controller's own CA, or yours."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime

from pyinfra.api.command import StringCommand

from uplift import authority, trust
from uplift.operations import script
from uplift.secrets import resolve
from uplift.spec.errors import Problem, SettingsError
from uplift.spec.nexus import tls
from uplift.spec.nexus.server import Server
from uplift.spec.nexus.tls import Files, Material, Todo
from uplift.spec.registry.tls import renewal

PATH = "nexus.container.tls"
RESTARTED = "restarted with the certificate of its files"


def todo(server: Server, files: Files) -> Todo:
    """Return what is done about the files of a server; a certificate is signed when it must be new.

    Args:
        server: its settings.
        files: what the host has.

    Raises:
        UpliftError: a file of the settings is missing or of no use, or the CA is damaged.
    """
    if server.tls is None:
        return tls.plan(files, None, "", "")
    has = files.material
    if server.tls.certificate is not None:
        text, key = trust.server(server.tls, resolve, path=PATH)
        assert key is not None
        wanted = Material(text, key.reveal())
        why = "" if wanted.same(has) else f"that of {server.tls.certificate}"
        try:
            return tls.plan(files, wanted, "", why)
        except ValueError as error:
            raise SettingsError([Problem(PATH, f"the key {error}")]) from None
    ca, now = authority.own(), datetime.now(UTC)
    reason = renewal(has.certificate, has.key, server.tls.names, ca.certificate, now)
    if reason is None:
        return tls.plan(files, has, ca.certificate, "")
    text, key = ca.sign(server.tls.names, now)
    why = f"{reason}, signed anew" if has.certificate else "signed by the controller's CA"
    return tls.plan(files, Material(text, key.reveal()), ca.certificate, why)


def announce(server: Server, todo: Todo, files: Files) -> None:
    """Show what would be done about the files, and about a server that has read others.

    Args:
        server: its settings.
        todo: what is done about them.
        files: what the host has.
    """
    again = tls.KEYSTORE in todo.write or files.stale
    if todo.words:
        script.announce(_told(server, todo), lasting="the certificate before is not kept")
    if again and files.started:
        script.announce(f"{server.name}: {RESTARTED}", restarts=[server.name])


def written(server: Server, todo: Todo) -> Iterator[StringCommand]:
    """Yield the command that writes the files; none is taken away here.

    Args:
        server: its settings.
        todo: what is done about them.
    """
    if todo.remove or not todo.words:
        return
    lines = [f"{name} {base64.b64encode(it).decode()}\n" for name, it in todo.write.items()]
    words = (tls.folder(server.name), str(tls.GROUP))
    yield script.run(_WRITE, *words, stdin="".join([*lines, "end\n"]), timeout=60)
    script.changed(_told(server, todo))


def removed(server: Server, todo: Todo) -> Iterator[StringCommand]:
    """Yield the command that takes the files away, when no container reads them any more.

    Args:
        server: its settings.
        todo: what is done about them.
    """
    if todo.remove:
        yield script.run(_REMOVE, tls.folder(server.name))
        script.changed(_told(server, todo))


def _told(server: Server, todo: Todo) -> str:
    return f"{server.name}: {', '.join(todo.words)}"


# $1 folder, $2 the server's group. A file takes its place when it is whole.
_WRITE = r"""
export LC_ALL=C
umask 077
folder=$1
fail() { cat >/dev/null; printf 'nexus: %s\n' "$*" >&2; exit 1; }
[ ! -L "$folder" ] && { [ -d "$folder" ] || [ ! -e "$folder" ]; } ||
  fail "$folder is in the way: it is no folder"
mkdir -p "$folder" && chown "0:$2" "$folder" && chmod 0750 "$folder" || fail "cannot own $folder"
rm -f "$folder"/.*.uplift-new
names= whole=
while read -r name content; do
  if [ "$name" = end ]; then whole=1; break; fi
  new=$folder/.$name.uplift-new
  printf %s "$content" | base64 -d >"$new" && chown "0:$2" "$new" && chmod 0640 "$new" &&
    sync "$new" || fail "cannot write $new"
  names="$names $name"
done
[ -n "$whole" ] || fail "the list of files was cut off: run again"
for name in $names; do
  mv -fT "$folder/.$name.uplift-new" "$folder/$name" || fail "cannot write $folder/$name"
done
sync "$folder"
""".strip()

_REMOVE = r"""
[ ! -d "$1" ] || [ -L "$1" ] || rm -rf -- "$1"
"""
