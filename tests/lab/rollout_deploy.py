"""Change a file by stock operations; a file on a host says that its change fails or takes long."""

from pyinfra import host
from pyinfra.operations import files, server

version = host.data.get("version") or "one"

files.line(name="Version", path="/etc/uplift-test", line=".*", replace=f"version {version}")
server.shell(
    name="Check",
    commands=[
        "if [ -e /etc/uplift-test-slow ]; then sleep 6; fi",
        "! test -e /etc/uplift-test-break || { echo this host is broken >&2; exit 1; }",
    ],
)
