"""Shell text that reads the lock of a host; it changes nothing, and needs root."""

from __future__ import annotations

from uplift.spec.rollout.lock import FENCE, FOLDER, LOCK

MUTEX = f"{LOCK}.mutex"

SHOW = f"""
digest() {{ {{ cat {FENCE} || :; echo; cat {LOCK} || :; }} 2>/dev/null | sha256sum | cut -c 1-64; }}
show() {{
  echo "now $(date +%s)"; echo "digest $(digest)"
  echo "fence $(head -n 1 {FENCE} 2>/dev/null)"
  echo record; cat {LOCK} 2>/dev/null || :
}}
"""
"""Functions: what :func:`uplift.spec.rollout.lock.read` reads."""

READ = f"""
set -eu
[ "$(id -u)" = 0 ] || {{ echo "the lock of a host needs root: _sudo = True" >&2; exit 77; }}
{SHOW}
if [ -e {MUTEX} ]; then exec 8<{MUTEX}; flock -s -w 10 8; fi
show
"""

__all__ = ["FOLDER", "MUTEX", "READ", "SHOW"]
