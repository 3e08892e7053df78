"""Releases that HAProxy has to ask differently: each is up by its own check, on its own port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.app_box import UP, Site
from tests.lab.conftest import crash_cases
from tests.lab.prober import Prober
from tests.lab.test_app_crash import GONE, KILL, at

pytest_plugins = ["tests.lab.app_box"]

ASKED = "sed -n 's/.*option httpchk GET //p; s/.*expect status //p' /etc/haproxy/haproxy.cfg"
PORTS = "sed -n 's/.* server blue[a-z-]* 127.0.0.1:\\([0-9]*\\).*/\\1/p' /etc/haproxy/haproxy.cfg"
BY_UP, BY_READYZ = "/up\n200,204", "/readyz\n200,204"


@pytest.fixture
def up(box: Site) -> Iterator[Site]:
    """A release serves that is ready by ``/up``, and answers 404 to ``/readyz``."""
    box.sh(f"rm -f {GONE}")
    box.run("1.5.0-up", **UP)
    assert box.sh(ASKED) == BY_UP
    yield box
    box.sh(f"rm -f {GONE}")


def test_a_release_with_another_check_takes_over_and_is_gone_back_from_without_a_failure(
    up: Site,
) -> None:
    with Prober(up.address, up.port) as prober:
        up.run("2.0.0-uv")
        assert up.sh(ASKED) == BY_READYZ
        proof = up.sh("cat $(ls -d /var/lib/uplift/releases/testapp/* | tail -n 1)/outcome")
        assert "\ncheck http answered 200, held for " in proof
        assert up.changed("2.0.0-uv") == []
        up.run("2.0.0-uv", "--data", "to=previous")
        assert (up.version(), up.sh(ASKED)) == ("1.5.0", BY_UP)
        assert up.changed("1.5.0-up", **UP) == []
        up.run("2.0.0-uv")
    assert prober.failures == []
    assert set(prober.answers) == {"1.5.0", "2.0.0"}


@pytest.mark.slow
@pytest.mark.parametrize(("tag", "hold"), [("2.1.0-uv", 3), ("2.2.0-uv", 15), ("1.5.0-up", 3)])
def test_a_bad_release_with_another_check_leaves_the_one_that_serves_its_own(
    up: Site, tag: str, hold: int
) -> None:
    # The last one is good by /up, and is told to be by /readyz.
    with Prober(up.address, up.port) as prober:
        again = {"environment": {"AGAIN": "yes"}} if tag == "1.5.0-up" else {}
        assert up.run(tag, check=False, hold=hold, **again).returncode == 1
    assert prober.failures == []
    assert (up.version(), up.sh(ASKED)) == ("1.5.0", BY_UP)
    assert up.changed("1.5.0-up", **UP) == []


@pytest.mark.slow
def test_other_ports_of_the_slots_cost_no_request(up: Site) -> None:
    with Prober(up.address, up.port) as prober:
        up.run("1.5.0-up", **UP, slot_ports=[18011, 18012])
        assert up.changed("1.5.0-up", **UP, slot_ports=[18011, 18012]) == []
        assert up.sh(PORTS) == "18011\n18011"
        up.run("1.5.0-up", **UP)
    assert up.sh(PORTS) == "18001\n18001"
    assert prober.failures == []


@pytest.mark.slow
def test_a_new_check_of_what_serves_is_proven_before_haproxy_asks_it(up: Site) -> None:
    before = up.seen()
    with Prober(up.address, up.port) as prober:
        done = up.run("1.5.0-up", check=False)
        assert done.returncode == 1
        assert "HAProxy keeps the check that it has: its check (http) fails: answers 404" in (
            done.stdout + done.stderr
        )
        assert up.sh(ASKED) == BY_UP
        other = {"ready": {"http": {"port": 8000, "path": "/version", "status": [200]}}}
        assert up.changed("1.5.0-up", **other) == ["Application"]
        assert up.sh(ASKED) == "/version\n200"
        assert up.changed("1.5.0-up", **other) == []
    assert up.seen() == before
    assert prober.failures == []


@pytest.mark.parametrize(
    "point",
    crash_cases(["name before", "name after", "traffic after", "stop after", "close before"]),
)
def test_killed_while_the_check_changes_all_is_served_and_the_next_run_completes_it(
    up: Site, point: str
) -> None:
    with Prober(up.address, up.port) as prober:
        done = up.run("2.0.0-uv", *at(point, KILL), check=False)
        assert "ended without a result" in done.stdout + done.stderr
        up.run("2.0.0-uv")
    assert prober.failures == []
    assert (up.version(), up.sh(ASKED)) == ("2.0.0", BY_READYZ)
    assert up.changed("2.0.0-uv") == []


@pytest.mark.parametrize("point", crash_cases(["name after", "traffic after", "stop after"]))
def test_killed_while_the_check_changes_the_settings_of_before_undo_it(
    up: Site, point: str
) -> None:
    with Prober(up.address, up.port) as prober:
        done = up.run("2.0.0-uv", *at(point, KILL), check=False)
        assert "ended without a result" in done.stdout + done.stderr
        up.run("1.5.0-up", **UP)
    assert prober.failures == []
    assert (up.version(), up.sh(ASKED)) == ("1.5.0", BY_UP)
    assert up.changed("1.5.0-up", **UP) == []
