"""What all tests of this folder have in common: they are for hosts of an inventory."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from uplift.secrets import Secret, SecretRef
from uplift.settings import Settings
from uplift.verify import secrets


@pytest.fixture(autouse=True)
def _for_hosts_of_an_inventory(request: pytest.FixtureRequest, inventory_host: object) -> None:
    """Tie every test here to ``--inventory``: none may run on the machine that tests."""


@pytest.fixture(scope="module")
def secret_values(settings: Settings) -> Mapping[SecretRef, Secret]:
    """Return the secrets of the host's settings; they never print themselves."""
    return secrets.of(settings)
