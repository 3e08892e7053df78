"""Shell text that waits for the jobs of a subject before a fact reads what they change."""

from __future__ import annotations

_SETTLE = """
busy=""
if [ -d /run/systemd/system ]; then
  tries=0
  while busy=$(systemctl list-units --plain --no-legend --state=active,activating,deactivating \
      'uplift-@subject@-*.service' 2>/dev/null | cut -d ' ' -f 1 | head -n 1)
  do
    [ -n "$busy" ] && [ "$tries" -lt @tries@ ] || break
    tries=$((tries + 1)); sleep 1
  done
fi
"""


def settled(subject: str, *, limit: int = 300) -> str:
    """Return shell text that waits until no job of a subject runs any more.

    A job outlives the connection that started it: what is read while it runs is no state to
    plan on. Afterwards ``$busy`` names the job that still runs, or is empty.

    Args:
        subject: first word of the jobs' ids.
        limit: seconds to wait.
    """
    return _SETTLE.replace("@subject@", subject).replace("@tries@", str(limit))
