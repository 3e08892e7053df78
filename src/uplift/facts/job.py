"""Shell text that waits for the jobs of a subject before a fact reads what they change."""

from __future__ import annotations

_SETTLE = """
busy=""
if [ -d /run/systemd/system ]; then
  tries=0
  while busy=$(systemctl list-units --plain --no-legend --state=active,activating,deactivating \
      @units@ 2>/dev/null | cut -d ' ' -f 1 | head -n 1)
  do
    [ -n "$busy" ] && [ "$tries" -lt @tries@ ] || break
    tries=$((tries + 1)); sleep 1
  done
fi
"""


def settled(*subjects: str, limit: int = 300) -> str:
    """Return shell text that waits until no job of some subjects runs any more.

    A job outlives the connection that started it: what is read while it runs is no state to
    plan on. Afterwards ``$busy`` names the job that still runs, or is empty.

    Args:
        subjects: first words of the jobs' ids.
        limit: seconds to wait.
    """
    units = " ".join(f"'uplift-{subject}-*.service'" for subject in subjects)
    return _SETTLE.replace("@units@", units).replace("@tries@", str(limit))
