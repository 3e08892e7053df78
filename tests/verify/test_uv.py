"""uv: the pinned version is what every user of the host gets."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from uplift.settings import Settings
from uplift.spec.uv import Uv
from uplift.verify import files, users

NAMES = ("uv", "uvx")


@pytest.fixture(scope="module")
def wanted(settings: Settings) -> Uv:
    if settings.uv is None:
        pytest.skip("the settings do not manage uv")
    return settings.uv


@pytest.mark.parametrize("name", NAMES)
def test_every_user_gets_the_pinned_version(host: Host, wanted: Uv, name: str) -> None:
    said = users.as_user(host, "nobody", f"{name} --version")
    assert said.rc == 0, said.stderr
    assert said.stdout.split()[:2] == [name, wanted.version]


@pytest.mark.parametrize("name", NAMES)
def test_the_command_in_the_path_is_ours(host: Host, wanted: Uv, name: str) -> None:
    found = users.as_user(host, "root", f"command -v {name}").stdout.strip()
    assert found == f"/usr/local/bin/{name}"
    assert host.check_output("readlink -f %s", found) == f"/opt/uv/{wanted.version}/{name}"


def test_root_alone_can_change_it(host: Host, wanted: Uv) -> None:
    folder = f"/opt/uv/{wanted.version}"
    places = ["/opt/uv", folder, *(f"{folder}/{name}" for name in NAMES)]
    rights = {place: files.rights(host, place) for place in places}
    assert rights == dict.fromkeys(places, "755 root:root")


def test_no_more_versions_are_kept_than_the_settings_say(host: Host, wanted: Uv) -> None:
    listing = host.check_output("ls -1 /opt/uv").split()
    others = [name for name in listing if name[:1].isdigit() and name != wanted.version]
    assert wanted.version in listing
    assert len(others) <= wanted.keep, others


def test_nothing_half_made_is_left(host: Host, wanted: Uv) -> None:
    hidden = host.check_output("find /opt/uv -mindepth 1 -maxdepth 1 -name '.*'")
    assert hidden == ""
