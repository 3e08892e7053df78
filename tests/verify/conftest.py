"""What all tests of this folder have in common: they are for hosts of an inventory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from testinfra.host import Host

from uplift.secrets import Secret, SecretRef
from uplift.settings import Settings
from uplift.spec.container import Container
from uplift.verify import container, secrets


@pytest.fixture(autouse=True)
def _for_hosts_of_an_inventory(request: pytest.FixtureRequest, inventory_host: object) -> None:
    """Tie every test here to ``--inventory``: none may run on the machine that tests."""


@pytest.fixture(scope="module")
def secret_values(settings: Settings) -> Mapping[SecretRef, Secret]:
    """Return the secrets of the host's settings; they never print themselves."""
    return secrets.of(settings)


@pytest.fixture
def check_container(
    host: Host,
    settings: Settings,
    secret_values: Mapping[SecretRef, Secret],
    warn: Callable[[str], None],
) -> Callable[[Container], None]:
    """Return the check of a service's container: it runs as its settings say, and shows no secret.

    Compared are state, the image's digest, restart policy, and the addresses of its ports.
    """

    def check(it: Container) -> None:
        found = container.look(host, it, secrets.forms(settings, secret_values))
        for text in found.warnings:
            warn(text)
        assert found.problems == ()

    return check
