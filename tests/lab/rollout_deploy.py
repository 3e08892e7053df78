"""Write a file by a stock operation, and fail where the data say so."""

from pyinfra import host
from pyinfra.operations import files, server

version = host.data.get("version") or "one"
broken = (host.data.get("broken") or "").split(",")

files.line(name="Version", path="/etc/uplift-test", line=".*", replace=f"version {version}")
if host.name in broken:
    server.shell(name="Break", commands=["echo this host is broken >&2; exit 1"])
