"""No secret of the settings is readable for others on the host.

Each search has a control: it must find what was planted for it, else it would prove nothing.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from secrets import token_hex

import pytest
from testinfra.host import Host

from uplift.secrets import Secret, SecretRef
from uplift.settings import Settings
from uplift.verify import container, secrets, users

FOLDERS = ("/etc", "/home", "/opt", "/root", "/srv", "/tmp", "/usr/local", "/var/lib/uplift")
FOLDERS += ("/var/log", "/var/tmp")


@pytest.fixture(scope="module")
def patterns(settings: Settings, secret_values: Mapping[SecretRef, Secret]) -> dict[str, Secret]:
    """Return the secrets in the forms in which files may hold them."""
    if not secret_values:
        pytest.skip("the settings refer to no secrets")
    found = secrets.forms(settings, secret_values)
    assert found, f"all secrets are shorter than {secrets.SHORTEST} characters: make longer ones"
    return found


@pytest.fixture
def canary() -> Secret:
    return Secret(f"uplift-canary-{token_hex(16)}")


@pytest.fixture
def planted(host: Host, canary: Secret) -> Iterator[str]:
    """Plant the canary in a file for everybody and in one for root, in a folder for everybody."""
    folder = host.check_output("mktemp -d /tmp/uplift-canary.XXXXXX")
    script = "cd %s && chmod 755 . && umask 077 && cat > private && cp private public"
    done = host.run(f"{script} && chmod 644 public", folder, stdin=canary)
    assert done.rc == 0, done.stderr
    yield folder
    host.run("rm -rf -- %s", folder)


def test_no_file_that_everybody_can_read_holds_a_secret(
    host: Host, settings: Settings, patterns: dict[str, Secret], canary: Secret, planted: str
) -> None:
    listed = settings.clients.users if settings.clients else ()
    folders = sorted({*FOLDERS, *(users.home(host, one.user) for one in listed)})
    found = secrets.readable_files(host, [*patterns.values(), canary], folders)
    # The control: what everybody can read is found, what root alone can read is not.
    assert f"{planted}/public" in found
    assert [file for file in found if not file.startswith(planted)] == []
    assert f"{planted}/private" not in found


def test_no_process_shows_a_secret(host: Host, patterns: dict[str, Secret], canary: Secret) -> None:
    # By stdin into a process of its own, so that only its argument shows the canary.
    start = "read -r canary; sh -c 'sleep 30; :' \"$canary\" >/dev/null 2>&1 & echo $!"
    pid = host.run(
        "sh -c %s", f"{{ {start}; }}", stdin=Secret(f"{canary.reveal()}\n")
    ).stdout.strip()
    try:
        seen = secrets.visible_processes(host)
    finally:
        host.run("kill %s", pid)
    held = secrets.holders(seen, patterns | {"the canary": canary})
    assert any("cmdline holds the canary" in line for line in held), "the search finds nothing"
    assert [line for line in held if "the canary" not in line] == []


def test_no_container_shows_a_secret(
    host: Host, patterns: dict[str, Secret], canary: Secret, warn: Callable[[str], None]
) -> None:
    if host.run("docker version").rc != 0:
        pytest.skip("no Docker daemon on this host")
    names = host.check_output("docker ps -aq --no-trunc").split()
    if not names:
        pytest.skip("no containers on this host")
    words = " ".join(map(shlex.quote, names))
    bad = []
    for one in json.loads(host.check_output(f"docker inspect {words}")):
        found, exposed = container.shown(one, patterns, container.labelled(one))
        bad += found
        for text in exposed:
            warn(text)
        # The control: what stands in a label is found.
        planted = {**one, "Config": {**one["Config"], "Labels": {"a": f"x{canary.reveal()}"}}}
        assert container.shown(planted, {"canary": canary})[0], "the search finds nothing"
    assert bad == []
