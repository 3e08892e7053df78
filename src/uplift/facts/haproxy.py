"""Read HAProxy of a host: what is installed and configured, and what the running one does."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from uplift.facts import job
from uplift.spec.haproxy.models import CERTIFICATES, CHANGING, CONFIG, PAGE
from uplift.spec.haproxy.state import HaproxyState, parse

TRAFFIC = rf"""
[ ! -f {CONFIG} ] || echo "config $(base64 -w 0 <{CONFIG})"
if [ -S /run/haproxy/admin.sock ] && command -v socat >/dev/null; then
  echo "states $(echo 'show servers state' |
    timeout 10 socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock 2>/dev/null | base64 -w 0)"
fi
"""
"""Shell text that prints the configuration and what the running HAProxy does with each server."""

# The random text with which the hashes of certificates begin comes by standard input.
_SCRIPT = rf"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
read -r salt; exec </dev/null
@settled@
echo "busy $busy"
echo "apt $(command -v apt-get)"
for package in haproxy socat; do
  echo "package $package $(dpkg-query -W -f '${{db:Status-Status}}' $package 2>/dev/null)"
done
echo "original $(dpkg-query -W -f '${{Conffiles}}\n' haproxy 2>/dev/null |
  awk '$1 == "{CONFIG}" {{ print $2 }}')"
[ ! -f {CONFIG} ] || echo "sum $(md5sum <{CONFIG} | cut -d ' ' -f 1)"
[ ! -e {CHANGING} ] || echo changing
[ ! -f {PAGE} ] || echo "page $(base64 -w 0 <{PAGE})"
for file in {CONFIG} {PAGE}; do
  [ ! -f "$file" ] || echo "mode $file $(stat -Lc '%a' "$file")"
done
for file in {CERTIFICATES}/*.pem; do
  [ -f "$file" ] || continue
  echo "certificate ${{file##*/}} $(stat -c '%a' "$file")" \
    "$({{ printf %s "$salt"; cat "$file"; }} | sha256sum | cut -c 1-64)"
done
echo "unit $(systemctl is-active haproxy 2>/dev/null) $(systemctl is-enabled haproxy 2>/dev/null)"
echo "listening $(ss -Hltunp 2>/dev/null | base64 -w 0)"
{TRAFFIC}
echo end
"""


class Haproxy(FactBase[HaproxyState | None]):
    """
    Return HAProxy as it is on a host, as :class:`HaproxyState`.

    Its standard input is the random text with which the hashes of certificates begin.
    None means that the host could not be read.
    """

    @staticmethod
    def default() -> None:
        """Return None: pyinfra has failed the host by then."""

    def command(self) -> StringCommand:
        """Return the one script that reads everything."""
        # A switch writes the configuration too.
        text = _SCRIPT.replace("@settled@", job.settled("haproxy", "app"))
        return StringCommand("sh", "-c", QuoteString(text), "uplift")

    def process(self, output: Iterable[str]) -> HaproxyState:
        """Turn the script's lines into a state."""
        try:
            return parse(output)
        except (ValueError, KeyError, IndexError) as error:
            raise FactProcessError(f"haproxy: {error}") from error
