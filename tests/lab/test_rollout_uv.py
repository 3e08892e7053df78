"""A rollout of uv that a new test stops: every host runs the version of before."""

from __future__ import annotations

import pytest
from tests.lab.conftest import Run
from tests.lab.rollout_box import Project, lines

pytest_plugins = ["tests.lab.rollout_box"]

pytestmark = pytest.mark.slow

OLD, NEW = "0.13.7", "0.13.8"
HOSTS = ("lab-1", "lab-2")
INVENTORY = """
from pathlib import Path
from uplift.lab import inventory as _inventory

_groups = _inventory.groups_or_exit()
_hosts = dict([*_groups["services"], *_groups["apps"]])
_uv = {"uv": {"version": Path("version").read_text()}}
fleet = [(name, {**_hosts[name], **_uv}) for name in ("lab-1", "lab-2")]
"""
GATE = f"""
def test_uv_is_the_one_that_this_host_needs(host):
    if host.file("/etc/uplift-test-mark").exists:
        assert "{OLD}" in host.run("uv --version").stdout
"""


def test_a_uv_that_a_new_test_is_against_is_put_back_on_every_host(
    project: Project, pyinfra: Run
) -> None:
    limits = [word for name in HOSTS for word in ("--limit", name)]
    pyinfra("inventories/lab.py", "deploys/certificates.py", "-y", *limits)
    folder = project.folder
    (folder / "fleet.py").write_text(INVENTORY)
    (folder / "gate").mkdir()
    (folder / "gate/test_uv.py").write_text(GATE)

    def rollout(version: str, *more: str) -> tuple[int, str, str]:
        (folder / "version").write_text(version)
        words = ("rollout", "fleet.py", "deploys/uv.py", "--waves", "1,1", "--gate", "gate", "-y")
        done = project.uplift(*words, *more, "--json", check=False, cwd=folder)
        return done.returncode, done.stdout, done.stderr

    code, _, errors = rollout(OLD)
    assert code == 0, errors
    project.sh("lab-2", "touch /etc/uplift-test-mark")
    before = [project.sh(name, "uv --version; readlink -f /usr/local/bin/uv*") for name in HOSTS]
    code, out, errors = rollout(NEW, "--on-failure", "revert-fleet")
    result = lines(out)[-1]
    assert (code, result["outcome"]) == (1, "reverted"), (errors, result)
    assert "test_uv_is_the_one_that_this_host_needs" in result["stopped"]
    assert [one["step"] for one in result["hosts"]] == ["reverted"] * 2
    assert [one["serving"]["uv"] for one in result["hosts"]] == [OLD] * 2
    now = [project.sh(name, "uv --version; readlink -f /usr/local/bin/uv*") for name in HOSTS]
    assert now == before
    assert [OLD in one for one in now] == [True] * 2
    # Without the test that is against it, it stays.
    project.sh("lab-2", "rm /etc/uplift-test-mark")
    code, out, errors = rollout(NEW)
    assert code == 0, errors
    assert [one["serving"]["uv"] for one in lines(out)[-1]["hosts"]] == [NEW] * 2
