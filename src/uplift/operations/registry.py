"""Keep a container registry with its users and its certificate as the settings say."""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterator, Mapping
from datetime import UTC, datetime

import bcrypt
from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift import authority, trust
from uplift.facts.registry import Registry as Server
from uplift.facts.script import read_quietly
from uplift.operations import container, job, kept, script
from uplift.secrets import require, resolve
from uplift.spec.errors import Problem, SettingsError, UpliftError
from uplift.spec.registry import Registry
from uplift.spec.registry.models import CERTIFICATE, FOLDER, HTPASSWD, KEY
from uplift.spec.registry.state import Plan, State, plan
from uplift.spec.registry.tls import renewal
from uplift.spec.registry.users import faults, merge
from uplift.spec.secret import Secret, SecretRef

COST = 8
"""Of bcrypt, 2^8 rounds: the server hashes the password anew for each single request."""

TIME_LIMIT = 120
"""Seconds for a restart with another certificate."""


@operation()
def present(settings: Registry) -> Generator[StringCommand, None, None]:
    """Run a registry in a container, and keep its users and its certificate.

    + settings: who may log in, where it listens, who vouches for it

    The users are those of the settings and no others; a hash that fits its password is left as it
    is, and the server takes up changed ones without a restart. A certificate of the controller's
    own CA is signed anew when it nears its end, has other names or another signer. For a changed
    certificate the server is restarted: it reads it once.

    **Example:**

    .. code:: python

        registry.present(
            name="Registry",
            settings=Registry(users=[{"name": "ci", "password": secret("registry/ci")}]),
        )
    """
    try:
        values = require(settings)
        if wrong := faults(settings, values):
            raise SettingsError([_problem(line) for line in wrong])
        state = read_quietly(host, Server)
        if state is None:
            return
        todo = _plan(settings, values, state)
    except UpliftError as error:
        yield script.refuse(f"registry: {error}", code=int(error.exit_code))
        return
    if not state.docker and host.state.is_executing:
        yield script.refuse("registry: no Docker Engine answers here: deploys/docker.py first")
        return
    yield from _converge(settings, state, todo)


def _problem(line: str) -> Problem:
    path, _, text = line.partition(": ")
    return Problem(path, text)


def _converge(settings: Registry, state: State, todo: Plan) -> Iterator[StringCommand]:
    if todo.words:
        done = f"registry: {', '.join(todo.words)}"
        script.announce(done)
        container.foretold([settings.container()])
        files = [f"{FOLDER}/{name}" for name in (*todo.write, *todo.remove)]
        text = kept.keeping(_WRITE, dict.fromkeys(files), _RESTART)
        yield script.run(text, *todo.remove, stdin=_payload(todo.write), timeout=TIME_LIMIT)
        script.changed(done)
    yield from container.converged._inner(containers=[settings.container()])
    if state.stale or {CERTIFICATE, KEY} & {*todo.write, *todo.remove}:
        # Nothing, when the container was made or started just now.
        id = job.identity("registry", _RESTART, repr(state))
        yield job.start(id, _RESTART, limit=TIME_LIMIT)
        host.log("registry: runs with the certificate of its files")


def _plan(settings: Registry, values: Mapping[SecretRef, Secret], state: State) -> Plan:
    """Return what to write; a certificate is signed, and a password hashed, when it must be new."""
    users = {user.name: values[user.password] for user in settings.users}
    text, words = merge(state.text(HTPASSWD), users, _fits, _hashed)
    wanted, told = {HTPASSWD: text}, list(words)
    if settings.tls is not None:
        certificate, key, reason = _material(settings, state)
        wanted |= {CERTIFICATE: certificate, KEY: key}
        told += [f"certificate: {reason}"] if reason else []
    return plan(wanted, told, state)


def _material(settings: Registry, state: State) -> tuple[str, str, str]:
    """Return the certificate, its key, and why they are others than before."""
    tls = settings.tls
    assert tls is not None
    has, has_key = state.text(CERTIFICATE), state.text(KEY)
    if tls.certificate is not None:
        text, key = trust.server(tls, resolve)
        assert key is not None
        if (text, key.reveal()) == (has, has_key):
            return text, has_key, ""
        return text, key.reveal(), f"that of {tls.certificate}"
    ca = authority.own()
    now = datetime.now(UTC)
    reason = renewal(has, has_key, tls.names, ca.certificate, now)
    if reason is None:
        return has, has_key, ""
    text, key = ca.sign(tls.names, now)
    return text, key.reveal(), f"{reason}, signed anew" if has else "signed by the controller's CA"


def _fits(password: str, hashed: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), hashed.encode())
    except ValueError:  # no hash of bcrypt
        return False


def _hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()


def _payload(files: Mapping[str, str]) -> str:
    lines = [f"{name} {base64.b64encode(text.encode()).decode()}\n" for name, text in files.items()]
    return "".join([*lines, "end\n"])


# Certificate and key take their places one right after the other, when both are whole.
_WRITE = r"""
export LC_ALL=C
umask 077
folder=FOLDER
fail() { cat >/dev/null; printf 'registry: %s\n' "$*" >&2; exit 1; }
[ ! -L "$folder" ] && { [ -d "$folder" ] || [ ! -e "$folder" ]; } ||
  fail "$folder is in the way: it is no folder"
mkdir -p "$folder" && chown 0:0 "$folder" && chmod 0700 "$folder" || fail "cannot own $folder"
exec 9<"$folder"
flock -w 60 9 || fail "another run is writing in $folder"
rm -f "$folder"/.*.uplift-new
names= whole=
while read -r name content; do
  if [ "$name" = end ]; then whole=1; break; fi
  new=$folder/.$name.uplift-new
  printf %s "$content" | base64 -d >"$new" && sync "$new" || fail "cannot write $new"
  names="$names $name"
done
[ -n "$whole" ] || fail "the list of files was cut off: run again"
for name in $names; do
  if [ -d "$folder/$name" ] && [ ! -L "$folder/$name" ]; then rm -rf "${folder:?}/$name"; fi
done
for name in $names; do
  mv -fT "$folder/.$name.uplift-new" "$folder/$name" || fail "cannot write $folder/$name"
done
for name do rm -rf "${folder:?}/$name" || fail "cannot remove $folder/$name"; done
sync "$folder"
""".replace("FOLDER", FOLDER).strip()

_RESTART = rf"""
set -eu
began=$(date -d "$(docker inspect --format '{{{{.State.StartedAt}}}}' registry)" +%s%N)
for file in {FOLDER}/{CERTIFICATE} {FOLDER}/{KEY}; do
  [ -e "$file" ] || continue
  if [ "$(stat -c %.9Z "$file" | tr -d .)" -gt "$began" ]; then
    echo "uplift: registry: restarted with its certificate"
    docker restart --time 10 registry
    sleep 1
    [ "$(docker inspect --format '{{{{.State.Running}}}}' registry)" = true ] || {{
      docker logs --tail 20 registry; exit 1; }}
    exit 0
  fi
done
""".lstrip()
