"""Tools: each in its version, and for every user of the host."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from uplift.settings import Settings
from uplift.spec.tools import ROOT, Tools, name_of
from uplift.verify import users

VERSION = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"


@pytest.fixture(scope="module")
def wanted(settings: Settings) -> Tools:
    if settings.tools is None:
        pytest.skip("the settings list no tools")
    return settings.tools


def test_packages_are_installed(host: Host, wanted: Tools) -> None:
    missing = [name for name in wanted.packages if not host.package(name).is_installed]
    assert missing == []


def test_every_user_gets_each_tool_in_its_version(host: Host, wanted: Tools) -> None:
    found = {}
    for name in map(name_of, wanted.uv):
        said = users.as_user(host, "nobody", f"{ROOT}/{name}/bin/python -I -c %s %s", VERSION, name)
        found[name] = said.stdout.strip() or said.stderr[-400:]
    assert found == {name_of(pin): pin.partition("==")[2] for pin in wanted.uv}


def test_root_alone_can_change_them(host: Host, wanted: Tools) -> None:
    if not wanted.uv:
        pytest.skip("the settings list no tools of uv")
    # uv makes its lock, an empty file, writable by everybody.
    search = "find %s ! -type l ! -path %s '(' -perm /022 -o ! -user 0 ')'"
    open_to_others = host.check_output(search, ROOT, f"{ROOT}/.lock")
    assert open_to_others == ""
