"""Keep HAProxy in front of the applications of a host."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.haproxy import Haproxy as Found
from uplift.facts.script import HiddenInput, read_quietly
from uplift.operations import job, script
from uplift.secrets import fact_salt, require, resolved
from uplift.spec.app.models import App
from uplift.spec.errors import Problem, SettingsError, UpliftError
from uplift.spec.haproxy import Haproxy
from uplift.spec.haproxy.config import page, render
from uplift.spec.haproxy.models import CERTIFICATES, CHANGING, CONFIG, PAGE
from uplift.spec.haproxy.state import HaproxyState, Refused, Todo, plan
from uplift.spec.haproxy.told import differences

TIME_LIMIT = 900
"""Seconds for the whole change; packages may have to be downloaded."""


@operation()
def configured(settings: Haproxy, apps: Sequence[App]) -> Generator[StringCommand, None, None]:
    """Install HAProxy, and keep its configuration, certificates and maintenance page as wanted.

    + settings: where it listens, and with what
    + apps: applications behind it

    The slot that serves is the one that the host's own configuration names, and so are its check
    and its port: this operation never moves traffic, and ``app.deployed`` changes them with the
    release. A new configuration is checked before it is loaded, and loaded without closing a
    connection; when HAProxy refuses it, the one before stays.

    **Example:**

    .. code:: python

        haproxy.configured(name="HAProxy", settings=Haproxy(), apps=[console])
    """
    proxied = [app for app in apps if app.proxy == "haproxy"]
    salt = fact_salt()
    try:
        pems = certificates(settings)
        template = read(settings.template, "haproxy.template")
        html = read(settings.maintenance_page, "haproxy.maintenance_page")
        state = read_quietly(host, Found, HiddenInput(salt))
        if state is None:
            return
        text = render(settings, template or "", proxied, state.slots, state.backends)
        todo = plan(settings, state, text, page(html), pems, salt)
    except (UpliftError, Refused) as error:
        code = int(error.exit_code) if isinstance(error, UpliftError) else 1
        yield script.refuse(f"haproxy: {error}", code=code)
        return
    if not todo.why:
        host.noop("HAProxy is configured as wanted")
        return
    done = _told(todo, state, text, page(html))
    script.announce(done, restarts=todo.restarts)
    change = _script(todo, state, text, page(html), pems)
    yield job.start(job.identity("haproxy", change, repr(state)), change, limit=TIME_LIMIT)
    script.changed(done)


def _told(todo: Todo, state: HaproxyState, config: str, html: str) -> str:
    """Return what changes: in a line, then in lines of each file."""
    hidden = [value.reveal() for value in resolved()]
    parts = [", ".join(todo.why), *differences(state, config, html, hidden)]
    return "\n".join(f"HAProxy: {part}" for part in parts)


def certificates(settings: Haproxy) -> dict[str, str]:
    """Return the text of each certificate's file, key included; secret.

    Args:
        settings: of HAProxy.

    Raises:
        UpliftError: a file or a secret is missing.
    """
    values = require(settings)
    return {
        f"{name}.pem": (
            f"{(one.text or read(one.certificate, 'haproxy.certificates') or '').rstrip()}\n"
            f"{values[one.key].reveal().rstrip()}\n"
        )
        for name, one in settings.certificates.items()
    }


def read(file: str | None, path: str) -> str | None:
    """Return the text of a file on the controller.

    Args:
        file: as the settings name it.
        path: of the setting, for the error's text.

    Raises:
        SettingsError: it cannot be read.
    """
    if file is None:
        return None
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise SettingsError([Problem(path=path, text=f"{file}: {text}")]) from None


# The old files come back when HAProxy refuses the new ones: what is checked is what is loaded.
_SCRIPT = r"""
set -eu
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
apt() { apt-get -y -q -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"; }
add() {
  apt install --no-install-recommends --no-remove "$@" >/dev/null 2>&1 && return
  apt update >/dev/null && apt install --no-install-recommends --no-remove "$@"
}
[ -z "$packages" ] || add $packages
put() {
  printf %s "$2" | base64 -d >"$1.new"; chmod "$3" "$1.new"; sync "$1.new"; mv "$1.new" "$1"
}
# Until what it wrote is loaded.
mkdir -p "${changing%/*}"; : >"$changing"; sync "$changing"
kept=$(mktemp -d); trap 'rm -rf "$kept"' EXIT
cp -a /etc/haproxy "$kept/"
[ -z "$foreign" ] || cp -a @config@ @config@.before-uplift
mkdir -p @certs@; chmod 0700 @certs@
put @page@ "$page" 0644
write_certificates
put @config@ "$config" 0644
# Quietly (-q) it would not say what it refuses.
if ! said=$(haproxy -c -f @config@ 2>&1); then
  find /etc/haproxy -mindepth 1 -delete; cp -a "$kept/haproxy/." /etc/haproxy/
  rm "$changing"
  echo "uplift: haproxy refuses the new configuration; the one before stays:"
  printf '%s\n' "$said" | sed 's/^/  | /' | head -n 20
  exit 1
fi
systemctl enable --quiet haproxy 2>/dev/null || systemctl enable haproxy
if systemctl is-active --quiet haproxy; then systemctl reload haproxy
else systemctl start haproxy; fi
for try in 1 2 3 4 5 6 7 8 9 10; do
  [ ! -S /run/haproxy/admin.sock ] || { rm "$changing"; exit 0; }
  sleep 1
done
echo "uplift: haproxy does not come up:"; systemctl status --no-pager haproxy | tail -n 10; exit 1
"""


def _script(
    todo: Todo, state: HaproxyState, config: str, page: str, pems: Mapping[str, str]
) -> str:
    puts = [f"put {CERTIFICATES}/{name} {_coded(text)} 0400" for name, text in pems.items()]
    gone = [f"rm -f {CERTIFICATES}/{name}" for name in state.certificates if name not in pems]
    head = {
        "packages": " ".join(todo.install),
        "foreign": "yes" if todo.foreign else "",
        "page": _coded(page),
        "config": _coded(config),
        "changing": CHANGING,
    }
    text = _SCRIPT
    for word, value in {"config": CONFIG, "certs": CERTIFICATES, "page": PAGE}.items():
        text = text.replace(f"@{word}@", value)
    variables = "".join(f"{name}={shlex.quote(value)}\n" for name, value in head.items())
    return f"{variables}write_certificates() {{ :; {'; '.join([*puts, *gone, ':'])}; }}\n{text}"


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
