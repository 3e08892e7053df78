"""Install what a host needs to install packages: of the distribution, and by uv."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.script import read
from uplift.facts.tools import Installed
from uplift.operations import script
from uplift.spec.tools import LINKS, ROOT, Tools, name_of, plan, refusal

TIME_LIMIT = 900
"""Seconds for the change; all may have to be downloaded."""


@operation()
def installed(settings: Tools) -> Generator[StringCommand, None, None]:
    """Install packages of the distribution that are missing, and tools of an index by uv.

    + settings: names of packages, and tools with their versions

    A tool has its own environment in ``/opt/uv-tools`` and its programs in ``/usr/local/bin``, for
    every user; it runs on the distribution's Python. A program of that name that uv has not put
    there is not replaced.

    **Example:**

    .. code:: python

        tools.installed(name="Tools", settings=Tools(packages=("npm",), uv=("poetry==2.2.1",)))
    """
    names = [name_of(pin) for pin in settings.uv]
    state = read(host, Installed, packages=list(settings.packages), tools=names)
    if state is None:
        return
    todo = plan(settings, state)
    if reason := refusal(todo, state):
        yield script.refuse(reason)
        return
    if not todo.words:
        host.noop(f"{len(settings.packages) + len(names)} tools are installed")
        return
    done = f"tools: {', '.join(todo.words)}"
    script.announce(done)
    lists = (todo.packages, todo.install, todo.repair)
    yield script.run(_SCRIPT, *(" ".join(one) for one in lists), timeout=TIME_LIMIT)
    script.changed(done)


# Of no user: root's own files name the index and the login.
_SCRIPT = rf"""
export LC_ALL=C DEBIAN_FRONTEND=noninteractive UV_NO_PROGRESS=1
export PATH="{LINKS}:$PATH:/usr/sbin:/sbin"
export UV_TOOL_DIR={ROOT} UV_TOOL_BIN_DIR={LINKS} UV_PYTHON_PREFERENCE=only-system
HOME=$(getent passwd 0 | cut -d: -f6)
export HOME
umask 022
cd /
fail() {{ printf 'tools: %s\n' "$*" >&2; exit 1; }}
apt() {{ apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >&2; }}
uv_install() {{ uv tool install -q "$@" >&2; }}
packages=$1 install=$2 repair=$3
if [ -n "$packages" ]; then
  # The words are names, parted by spaces.
  apt $packages || {{ apt-get update >&2 && apt $packages; }} || fail "cannot install $packages"
  for name in $packages; do
    # apt takes a name that another package provides, and dpkg does not know it afterwards.
    [ "$(dpkg-query -W -f '${{db:Status-Status}}' "$name" 2>/dev/null)" = installed ] ||
      fail "$name is no package of its own: list the one that provides it"
  done
fi
for pin in $install; do uv_install "$pin" || fail "uv cannot install $pin"; done
for pin in $repair; do
  uv_install --force --reinstall "$pin" || fail "uv cannot install $pin"
done
""".strip()
