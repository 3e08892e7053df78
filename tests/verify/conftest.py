"""What all tests of this folder have in common: they are for hosts of an inventory."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _for_hosts_of_an_inventory(request: pytest.FixtureRequest, inventory_host: object) -> None:
    """Tie every test here to ``--inventory``: none may run on the machine that tests."""
