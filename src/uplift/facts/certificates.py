"""Read which of our CA certificates a host has, and whether it really trusts them."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from uplift.facts.look import LOOK
from uplift.spec.certificates import BUNDLE, FOLDER, Store
from uplift.spec.entry import Entry

UNTRUSTED = r"""
not_in_bundle() {
  if [ ! -r "BUNDLE" ]; then printf '%s\n' "$@"; return; fi
  awk -v bundle="BUNDLE" '
    /^-----BEGIN /{ body = ""; next }
    /^-----END /{ if (FILENAME == bundle) have[body]; else want[FILENAME] = body; next }
    { sub(/\r$/, ""); body = body $0 }
    END { for (file in want) if (!(want[file] in have)) print file }
  ' "$@" "BUNDLE"
}
untrusted() {
  set -- "FOLDER"/*.crt
  [ -e "$1" ] || return 0
  not_in_bundle "$@"
  for path do
    # Not a look at the links: another file with the same certificate may have got the link.
    openssl verify -partial_chain -no_check_time -auth_level 0 -no-CAfile -no-CAstore \
      -CApath /etc/ssl/certs "$path" >/dev/null 2>&1 || printf '%s\n' "$path"
  done
}
""".replace("FOLDER", FOLDER).replace("BUNDLE", BUNDLE)
"""A shell function that prints those of our files that a host does not trust.

Some clients read the bundle, others (OpenSSL's own) the links in its folder: both must know a CA.
"""

_READ = r"""
[ -r /etc/os-release ] && . /etc/os-release
tool=no
[ -x /usr/sbin/update-ca-certificates ] && tool=yes
line host "$(id -u)" "${ID:-unknown} ${ID_LIKE:-}" "$tool"
look folder "FOLDER"
for path in "FOLDER"/* "FOLDER"/.[!.]*; do
  if [ -e "$path" ] || [ -L "$path" ]; then look "file ${path##*/}" "$path" "$(hash "$path")"; fi
done
untrusted | while read -r path; do line untrusted "${path##*/}"; done
exit 0
"""

_SCRIPT = f"{LOOK}\n{UNTRUSTED.strip()}\n{_READ.strip()}".replace("FOLDER", FOLDER)


class SystemStore(FactBase[Store | None]):
    """Return what a host trusts of ours as :class:`uplift.spec.certificates.Store`.

    None when it cannot be read.
    """

    def command(self) -> StringCommand:
        """Look at everything in one command."""
        return StringCommand("sh", "-c", QuoteString(_SCRIPT), "uplift")

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def process(self, output: Iterable[str]) -> Store:
        """Turn the lines of the script into a value."""
        found: dict[str, list[str]] = {}
        untrusted = set()
        for line in output:
            word, *values = line.split("\t")
            if word == "untrusted":
                untrusted.add(values[0])
            else:
                found[word] = values
        uid, system, tool = found.pop("host")
        folder = Entry(*found.pop("folder"))
        files = {word.removeprefix("file "): Entry(*values) for word, values in found.items()}
        return Store(
            uid=int(uid),
            system=" ".join(system.split()),
            tool=tool == "yes",
            folder=folder,
            files=files,
            trusted=frozenset(files.keys() - untrusted),
        )
