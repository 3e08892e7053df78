"""Your own tests: each runs once on every host of the inventory, as `host` (testinfra).

    uplift verify inventories/prod.py
    uplift verify inventories/prod.py --limit apps -k test_site

`host` is testinfra's, `settings` the host's validated group data, `data` all of its data as pyinfra
merged it. The other files here test what the deploys of this folder set up.
"""

from __future__ import annotations

import pytest
from testinfra.host import Host

from uplift.settings import Settings


def test_every_user_has_the_uv_of_the_settings(host: Host, settings: Settings) -> None:
    if settings.uv is None:
        pytest.skip("the settings do not manage uv")
    assert host.check_output("uv --version").split()[1] == settings.uv.version


# Only hosts of these groups, or with matching names.
@pytest.mark.hosts("apps")
def test_applications_find_a_running_docker(host: Host, settings: Settings) -> None:
    if settings.docker is None:
        pytest.skip("the settings do not manage Docker")
    assert host.service("docker").is_running
