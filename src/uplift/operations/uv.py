"""Install a pinned uv on a host, and switch between versions in one rename."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Sequence

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.script import HiddenInput, read
from uplift.facts.uv import Installed, Reachable, curl_config
from uplift.index import uv as index
from uplift.operations import script
from uplift.spec.errors import UpliftError
from uplift.spec.uv import CURRENT, LINKS, ROOT, Member, Plan, Release, Uv, plan, refusal

DOWNLOAD_LIMIT = 600
"""Seconds that a download on a host may take."""


@operation()
def installed(settings: Uv) -> Generator[StringCommand, None, None]:
    """Install one version of uv, with ``uv`` and ``uvx`` in ``/usr/local/bin``.

    + settings: which version, from which index, with which hash

    The controller resolves the wheel and knows its hash; the host downloads it when it can, else
    the controller sends it. The hash of the wheel and of each binary is checked on the host before
    anything is switched. A foreign uv that stands in the way is kept under ``/opt/uv/displaced``.

    **Example:**

    .. code:: python

        uv.installed(name="uv 0.13.8", settings=Uv(version="0.13.8"))
    """
    state = read(host, Installed, version=settings.version)
    if state is None:
        return
    if reason := refusal(state):
        yield script.refuse(reason)
        return
    try:
        release = index.release(settings, state.arch)
        todo = plan(settings, state, release)
        if not todo.words:
            host.noop(f"uv {settings.version} is installed")
            return
        source, stdin = _source(settings, state.arch, release) if todo.install else ("none", "")
    except UpliftError as error:
        yield script.refuse(str(error))
        return
    done = f"uv: {', '.join(todo.words)}"
    script.announce(
        done,
        removes=[f"uv {version}" for version in todo.remove],
        lasting="" if state.active else "uv: there was none of uplift's before, the new one stays",
    )
    yield script.run(
        _script(release, todo, source), stdin=stdin or None, timeout=DOWNLOAD_LIMIT + 300
    )
    script.changed(done)


def _source(settings: Uv, arch: str, release: Release) -> tuple[str, str | Sequence[str]]:
    """Return who brings the wheel, and what the host's script reads for it."""
    url = index.url_for_hosts(settings, arch, release)
    if url:
        config = curl_config(url)
        if host.get_fact(Reachable, _stdin=HiddenInput(config)) == "yes":
            return "host", config
    return "controller", index.payload(settings, arch, release)


def _script(release: Release, todo: Plan, source: str) -> str:
    values = {
        "root": ROOT,
        "current": CURRENT,
        "version": release.version,
        "source": source,
        "wheel_sha256": release.sha256,
        "need": str(release.disk // 1024 + 10 * 1024),
        "limit": str(DOWNLOAD_LIMIT),
        "surplus": " ".join(todo.remove),
        **{f"{name}_sha256": binary.sha256 for name, binary in release.binaries.items()},
    }
    head = "\n".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    cuts = "\n".join(_cut(name, binary) for name, binary in release.binaries.items())
    links = "\n".join(f'point {path} "$current/{name}"' for name, path in LINKS.items())
    return f"{head}\n{_FUNCTIONS}\n{_INSTALL}\n{cuts}\n{_PUT}\n}}\n{_MAIN}\n{links}\n{_REMOVE}"


def _cut(name: str, binary: Member) -> str:
    """Return the call that cuts a binary out of the wheel.

    A deflated member of a zip file is a gzip file without its header and its trailer, which holds
    CRC-32 and size: so a host needs neither unzip nor Python.
    """
    trailer = binary.crc32.to_bytes(4, "little") + (binary.size % 2**32).to_bytes(4, "little")
    octal = "".join(f"\\{byte:03o}" for byte in trailer)
    call = "cut_deflated" if binary.method else "cut_stored"
    return f"  {call} {name} {binary.offset + 1} {binary.length} '{octal}'"


_FUNCTIONS = r"""
export LC_ALL=C
umask 022
home=$root/$version
# Whoever sends the wheel must be able to end it before the reason can be heard.
fail() { cat >/dev/null; printf 'uv: %s\n' "$*" >&2; exit 1; }
sum() { sha256sum <"$1" | cut -c 1-64; }
good() { [ ! -L "$1" ] && [ -f "$1" ] && [ "$(sum "$1")" = "$2" ]; }
safe() { sync "$@" 2>/dev/null || sync; }
# Keep what is not ours, under a name made from its content: a second time it costs nothing.
aside() {
  mkdir -p -m 0700 "$root/displaced" || fail "cannot make $root/displaced"
  kept=$root/displaced/$(basename "$1")
  if [ -L "$1" ]; then id=$(readlink "$1" | sha256sum | cut -c 1-12)
  elif [ -f "$1" ]; then id=$(sum "$1" | cut -c 1-12)
  else mv -T "$1" "$kept-$(date -u +%Y%m%dT%H%M%SZ)" || fail "cannot move $1 aside"; return
  fi
  cp -a "$1" "$tmp/kept" && mv -fT "$tmp/kept" "$kept-$id" || fail "cannot copy $1 aside"
}
# Make a link, in one rename: there is no moment without one.
point() {
  if [ -L "$1" ]; then
    target=$(readlink "$1")
    [ "$target" = "$2" ] && return
    case $1:$target in "$current":* | *:"$root"/*) ;; *) aside "$1" ;; esac
  elif [ -e "$1" ]; then aside "$1"
  fi
  ln -sfn "$2" "$1.uplift-tmp" && mv -fT "$1.uplift-tmp" "$1" || fail "cannot make the link $1"
  safe "$(dirname "$1")"
}
cut_stored() {
  tail -c "+$2" "$tmp/wheel" | head -c "$3" >"$tmp/new/$1"
}
cut_deflated() {
  { printf '\037\213\010\000\000\000\000\000\000\377'
    tail -c "+$2" "$tmp/wheel" | head -c "$3"
    printf "$4"
  } | gzip -dc >"$tmp/new/$1" || fail "cannot unpack $1 into $tmp"
}
fetch() {
  case $source in
    host) curl --silent --show-error --fail --location --proto =http,https --netrc-optional \
      --connect-timeout 10 --max-time "$limit" --retry 2 --config - --output "$tmp/wheel" ||
      fail "the download failed" ;;
    controller) base64 -d >"$tmp/wheel" || fail "the wheel did not arrive whole" ;;
    *) fail "$home changed while this ran: run it again" ;;
  esac
  found=$(sum "$tmp/wheel")
  [ "$found" = "$wheel_sha256" ] || fail "the wheel has sha256 $found, wanted is $wheel_sha256"
}
""".strip()

_INSTALL = r"""
install_version() {
  free=$(df -Pk "$root" | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)
  [ "$free" -ge "$need" ] ||
    fail "$root needs $((need / 1024)) MB while this runs, $((free / 1024)) MB are free"
  fetch
  mkdir "$tmp/new" || fail "cannot write to $tmp"
""".rstrip()

_PUT = r"""
  good "$tmp/new/uv" "$uv_sha256" && good "$tmp/new/uvx" "$uvx_sha256" ||
    fail "the binaries in the wheel have other hashes than the controller found"
  chmod 0755 "$tmp/new" "$tmp/new/uv" "$tmp/new/uvx"
  "$tmp/new/uv" --version >/dev/null || fail "uv $version does not run on this host"
  safe "$tmp/new/uv" "$tmp/new/uvx" "$tmp/new"
  if [ -L "$home" ] || [ -f "$home" ]; then aside "$home" && rm -f "$home"; fi
  if [ ! -d "$home" ]; then
    mv -T "$tmp/new" "$home" || fail "cannot make $home"
  else
    for name in uv uvx; do
      if [ -d "$home/$name" ] && [ ! -L "$home/$name" ]; then aside "$home/$name"; fi
      mv -fT "$tmp/new/$name" "$home/$name" || fail "cannot replace $home/$name"
    done
  fi
  safe "$home" "$root"
""".rstrip()

_MAIN = r"""
mkdir -p "$root" /usr/local/bin || fail "cannot make $root"
chown 0:0 "$root" && chmod 0755 "$root" || fail "cannot own $root"
# A run whose controller was killed may still be at work here: let it end first.
exec 9<"$root"
if command -v flock >/dev/null 2>&1; then
  flock -w 120 9 || fail "another installation of uv is at work in $root"
fi
rm -rf "$root"/.[0-9]*.tmp-*
rm -f "$current.uplift-tmp" /usr/local/bin/uv.uplift-tmp /usr/local/bin/uvx.uplift-tmp
tmp=$(mktemp -d "$root/.$version.tmp-XXXXXX") || fail "cannot write to $root"
trap 'rm -rf "$tmp"' EXIT
trap 'exit 129' HUP INT TERM PIPE
good "$home/uv" "$uv_sha256" && good "$home/uvx" "$uvx_sha256" || install_version
chown 0:0 "$home" "$home/uv" "$home/uvx" && chmod 0755 "$home" "$home/uv" "$home/uvx" ||
  fail "cannot own $home"
# The time of the folder says when a version was last made active: the oldest are removed first.
[ "$(readlink "$current")" = "$version" ] || touch "$home"
point "$current" "$version"
""".strip()

_REMOVE = r"""
for old in $surplus; do
  [ "$old" = "$version" ] || mv -T "$root/$old" "$tmp/$old" || fail "cannot remove $root/$old"
done
exit 0
""".strip()
