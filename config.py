"""pyinfra reads this file first, from the folder in which it is started: start it here."""

import sys

from pyinfra import config

# The release that this project was tested with; its API moves between minor releases.
config.REQUIRE_PYINFRA_VERSION = "~=3.10.0"

# Seconds for a host to answer: one that does not is known soon, and named.
config.CONNECT_TIMEOUT = 10

try:
    from uplift import guard
except ModuleNotFoundError as _missing:
    print(
        f"uplift: {_missing}. This pyinfra ({sys.executable}) is not the project's own: "
        "use .venv/bin/pyinfra, or activate .venv first.",
        file=sys.stderr,
    )
    raise SystemExit(64) from None

# A mistyped inventory, --limit or setting ends here with exit code 64: nothing was touched.
guard.check()
