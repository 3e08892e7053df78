"""Tests between the waves of tests: what a file on the host says decides."""

from typing import Any


def test_version_is_not_two_bad(host: Any) -> None:
    assert "two-bad" not in host.file("/etc/uplift-test").content_string


def test_nobody_has_left_a_mark(host: Any) -> None:
    assert not host.file("/etc/uplift-test-mark").exists
