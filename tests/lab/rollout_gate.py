"""Tests between the waves of tests: what files on the host say decides."""

from typing import Any


def test_the_version_is_not_the_bad_one(host: Any) -> None:
    assert "bad" not in host.file("/etc/uplift-test").content_string


def test_the_index_of_pip_is_not_the_bad_one(host: Any) -> None:
    assert "bad" not in host.run("sudo cat /home/deploy/.config/pip/pip.conf").stdout


def test_nobody_has_left_a_mark(host: Any) -> None:
    assert not host.file("/etc/uplift-test-mark").exists


def test_that_fails_every_other_time(host: Any) -> None:
    """Fail once where a file says so, and take the file away."""
    assert host.run("sudo rm /etc/uplift-test-flaky").rc != 0
