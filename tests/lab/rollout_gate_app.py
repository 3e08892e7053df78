"""Tests between waves of an application: it answers, and is not the release that must not pass."""

from typing import Any


def test_the_application_answers(host: Any) -> None:
    assert host.run("curl -sf http://127.0.0.1/readyz").rc == 0


def test_it_is_not_the_release_that_a_test_is_against(host: Any) -> None:
    against = host.run("cat /etc/uplift-test-against").stdout.strip()
    assert not against or host.run("curl -s http://127.0.0.1/version").stdout.strip() != against


def test_nobody_has_left_a_mark(host: Any) -> None:
    assert not host.file("/etc/uplift-test-mark").exists
