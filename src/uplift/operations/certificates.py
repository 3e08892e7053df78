"""Make hosts trust extra CA certificates, through their system store."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from functools import cache

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift import trust
from uplift.facts.certificates import UNTRUSTED, SystemStore
from uplift.facts.script import read
from uplift.operations import kept, script
from uplift.spec.certificates import (
    BUNDLE,
    FOLDER,
    Certificate,
    Certificates,
    expired,
    plan,
    refusal,
)
from uplift.spec.errors import UpliftError

TIME_LIMIT = 600
"""Seconds for the change; the package ca-certificates may have to be downloaded."""


@operation()
def trusted(settings: Certificates) -> Generator[StringCommand, None, None]:
    """Trust the CA certificates of the settings, and no longer those that were taken out.

    + settings: PEM files on the controller

    Each certificate becomes a file of its own in ``/usr/local/share/ca-certificates/uplift``; what
    else stands in that folder is removed. A CA that was taken out of the system's bundle by hand
    is put back.

    **Example:**

    .. code:: python

        certificates.trusted(
            name="Extra CA certificates", settings=Certificates(files=("certs/corp.crt",))
        )
    """
    store = read(host, SystemStore)
    if store is None:
        return
    try:
        wanted = trust.certificates(settings)
    except UpliftError as error:
        yield script.refuse(str(error), code=int(error.exit_code))
        return
    for warning in expired(wanted, datetime.now(UTC)):
        _warn(warning)
    if reason := refusal(wanted, store):
        yield script.refuse(reason)
        return
    todo = plan(wanted, store)
    if not todo.words:
        host.noop(f"{len(wanted)} extra CA certificates are trusted")
        return
    done = f"certificates: {', '.join(todo.words)}"
    script.announce(done)
    files = [f"{FOLDER}/{name}" for name in (*(one.file for one in todo.write), *todo.remove)]
    # With nothing to write or remove it takes up the files that are there: those of before.
    text = kept.keeping(_script(todo.remove), dict.fromkeys(files), _script(()))
    yield script.run(text, stdin=_payload(todo.write), timeout=TIME_LIMIT)
    script.changed(done)


@cache
def _warn(text: str) -> None:
    """Print a warning once, not once for each host."""
    logger.warning(text)


def _payload(certificates: Sequence[Certificate]) -> str:
    """Return what the host's script reads: lines for the files between lines for itself."""
    return "".join(f"{c.pem}#file {c.file} {c.file_sha256}\n" for c in certificates) + "#end\n"


def _script(remove: Sequence[str]) -> str:
    head = f"folder={FOLDER}\nbundle={BUNDLE}"
    removal = "".join(
        f'rm -rf -- "$folder/"{shlex.quote(name)} || fail "cannot remove a file"\n'
        for name in remove
    )
    return f"{head}\n{UNTRUSTED.strip()}\n{_START}\n{removal}{_UPDATE}"


_START = r"""
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
umask 022
fail() { cat >/dev/null; printf 'certificates: %s\n' "$*" >&2; exit 1; }
install_tool() {
  exec 3<&0 </dev/null
  set -- install -y --no-install-recommends -o DPkg::Lock::Timeout=120 ca-certificates
  apt-get "$@" >&2 || { apt-get update >&2 && apt-get "$@" >&2; } ||
    fail "cannot install the package ca-certificates"
  exec <&3 3<&-
}
[ -x /usr/sbin/update-ca-certificates ] || install_tool
mkdir -p "$folder" && chown 0:0 "$folder" && chmod 0755 "$folder" || fail "cannot make $folder"
exec 9<"$folder"
if command -v flock >/dev/null 2>&1; then
  flock -w 120 9 || fail "another change of certificates is at work"
fi
# No name here ends with .crt until it is whole: update-ca-certificates takes all that do.
new=$folder/.new
: >"$new" || fail "cannot write to $folder"
while read -r word name sha256; do
  case $word in
    '#end') break ;;
    '#file')
      [ "$(sha256sum <"$new" | cut -c 1-64)" = "$sha256" ] || fail "$name did not arrive whole"
      if [ -d "$folder/$name" ] && [ ! -L "$folder/$name" ]; then rm -rf "$folder/$name"; fi
      chown 0:0 "$new" && chmod 0644 "$new" && sync "$new" && mv -fT "$new" "$folder/$name" ||
        fail "cannot write $folder/$name"
      : >"$new" || fail "cannot write to $folder" ;;
    *) printf '%s\n' "$word${name:+ $name}${sha256:+ $sha256}" >>"$new" ;;
  esac
done
rm -f "$new"
""".strip()

# Without --fresh a store is never without its links, not for a moment; so that comes second.
_UPDATE = r"""
cat >/dev/null
update() {
  # The tool appends to this file: what a killed run left would stand in the bundle twice.
  rm -f "$bundle.new"
  mkdir -p /etc/ssl/certs
  update-ca-certificates "$@" >&2
  # The tool does this only when it added something: the link of a hash may have been that of a
  # file which is gone, while another file has the same certificate.
  openssl rehash /etc/ssl/certs >/dev/null 2>&1
  [ -z "$(untrusted)" ]
}
# Links to files that are gone.
find /etc/ssl/certs -maxdepth 1 -type l ! -exec test -e {} \; -exec rm -f {} +
update || update --fresh ||
  fail "update-ca-certificates does not take up: $(untrusted | sort -u)"
exit 0
""".strip()
