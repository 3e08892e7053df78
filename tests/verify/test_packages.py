"""Packages: what the repositories serve is what the settings say, byte for byte."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from uplift.operations.packages_work import Work
from uplift.settings import Settings
from uplift.verify import packages


@pytest.fixture(scope="module")
def work(settings: Settings) -> Work:
    if settings.packages is None or not settings.packages.publish:
        pytest.skip("the settings list no packages to publish")
    return Work.of(settings.packages)


def test_every_file_is_served_with_its_own_content(host: Host, work: Work) -> None:
    served = packages.contents(host, work)
    wrong = {
        str(one): f"{said}, not sha256 {one.hashes['sha256']}"
        for one, said in served.items()
        if said != one.hashes["sha256"]
    }
    assert served
    assert wrong == {}
