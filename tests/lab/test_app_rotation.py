"""Passwords of services that change between a release and its rollback: none of them comes back.

The registry and the Nexus are those of the lab's own settings, and so are the client files.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from nexus_server import PORT
from tests.lab.app_box import REPOSITORY, Run, Site

pytest_plugins = ["tests.lab.app_box"]
pytestmark = pytest.mark.slow

HUB = "lab-1:5000"
OWN = f"{HUB}/{REPOSITORY.partition('/')[2]}"
INDEX = f"http://lab-1:{PORT}/repository/pypi/simple"
PACKAGE = "maestro-core-config"
# By the environment variable of each: the login, and what it opens.
LOGINS = {
    "UPLIFT_SECRET_REGISTRY_DEPLOYER": ("deployer", f"https://{HUB}/v2/"),
    "UPLIFT_SECRET_NEXUS_READER": ("reader", f"{INDEX}/{PACKAGE}/"),
    "UPLIFT_SECRET_NEXUS_DEPLOYER": (
        "deployer",
        f"http://lab-1:{PORT}/repository/pypi-private/simple/{PACKAGE}/",
    ),
}
FILES = (
    "/etc/pip.conf",
    "/etc/uv/uv.toml",
    *(
        f"{home}/{name}"
        for home in ("/root", "/home/deploy", "/home/app")
        for name in (".netrc", ".npmrc", ".pypirc", ".docker/config.json")
    ),
)
INVENTORY = """
from pathlib import Path as _Path
_lab = {{}}
exec(_Path("inventories/lab.py").read_text(), _lab)
_none = dict.fromkeys(("backups", "influxdb", "influxdb_client", "redis"))
services = [(name, {{**data, **_none}}) for name, data in _lab["services"]]
lab_services = services
_own = {{"influxdb_client": None, "haproxy": {haproxy!r}, "apps": [{app!r}]}}
apps = [(name, {{**data, **_own}}) for name, data in _lab["apps"] if name == {name!r}]
"""


@dataclass
class Rotating:
    """The host of the application, and the services that it pulls and installs from."""

    hub: Site
    box: Site
    folder: Path
    environment: dict[str, str]

    @property
    def inventory(self) -> str:
        """Return the inventory's file, named so that the group data of the lab holds for it."""
        return str(self.folder / "lab.py")

    def rotate(self) -> None:
        """Give every service new passwords, and the clients with them, by one run."""
        self.environment |= {name: secrets.token_hex(16) for name in LOGINS}
        self.box.pyinfra(self.inventory, "deploys/site.py", "-y")

    def passwords(self) -> dict[str, str]:
        """Return those of now."""
        return {name: self.environment[name] for name in LOGINS}

    def want(self, tag: str) -> None:
        """Write the settings: a version, from the registry with the login."""
        block = self.box.block(tag, image=f"{OWN}:{tag}")
        text = INVENTORY.format(haproxy=self.box.haproxy, app=block, name=self.box.name)
        (self.folder / "lab.py").write_text(text)

    def deploy(self, tag: str) -> None:
        """Deploy a version."""
        self.want(tag)
        self.box.pyinfra(self.inventory, "deploys/app.py", "-y", "--limit", self.box.name)

    def back(self, to: str) -> None:
        """Go back to a release."""
        words = ("-y", "--data", "app=testapp", "--data", f"to={to}", "--limit", self.box.name)
        self.box.pyinfra(self.inventory, "deploys/rollback.py", *words)

    def accepted(self, passwords: Mapping[str, str]) -> set[str]:
        """Return the logins that the services take."""
        ca = f"--cacert /etc/docker/certs.d/{HUB}/ca.crt"
        asked = {
            name: self.box.sh(
                f"curl -s -o /dev/null -w '%{{http_code}}' {ca} -u {login}:{passwords[name]} {url}"
            )
            for name, (login, url) in LOGINS.items()
        }
        assert set(asked.values()) <= {"200", "401"}, asked
        return {name for name, code in asked.items() if code == "200"}

    def seen(self) -> tuple[str, str]:
        """Return all client files, and what the registry knows of its users."""
        look = f"for f in {' '.join(FILES)}; do stat -c '%n %a %U %Y' $f; sha256sum <$f; done"
        return self.box.sh(look), self.hub.sh("find /etc/uplift/registry -type f | xargs sha256sum")


@pytest.fixture(scope="module")
def rotating(
    box: Site,
    hosts: list[dict[str, Any]],
    environment: dict[str, str],
    uplift: Run,
    lab_name: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rotating]:
    """The services are there, with passwords of this module alone, and the images in them."""
    uplift("lab", "image", "nexus:3.30.0", "--name", lab_name)
    host = hosts[1]
    app = replace(box, name=host["name"], address=host["address"], port=int(host["ports"]["80"]))
    patch = pytest.MonkeyPatch()
    for name, value in {**dict.fromkeys(LOGINS, ""), **box.environment}.items():
        patch.setitem(environment, name, value)
    it = Rotating(box, app, tmp_path_factory.mktemp("rotation"), environment)
    it.want("1.4.0-poetry")
    it.rotate()
    for tag in ("1.3.0-poetry", "1.4.0-poetry", "2.0.0-uv"):
        public, own = f"{REPOSITORY}:{tag}", f"{OWN}:{tag}"
        box.sh(f"set -e; docker pull -q {public}; docker tag {public} {own}; docker push -q {own}")
        box.sh(f"docker rmi {own}")
    yield it
    app.clean()
    app.sh(f"docker images -q {OWN} | sort -u | xargs -r docker rmi -f", check=False)
    # Nobody else knows the passwords of the services by now.
    box.sh(
        "docker ps -aq --filter label=io.uplift.managed | xargs -r docker rm -f -v;"
        "docker volume ls -q | xargs -r docker volume rm;"
        "rm -rf /var/lib/uplift/containers /etc/uplift/registry /etc/uplift/secrets",
        check=False,
    )
    patch.undo()


def test_a_rollback_after_passwords_were_rotated_takes_none_of_them_back(
    rotating: Rotating,
) -> None:
    box = rotating.box
    rotating.deploy("1.4.0-poetry")
    rotating.deploy("2.0.0-uv")
    old = rotating.passwords()
    # The control: these are the passwords of then.
    assert rotating.accepted(old) == set(LOGINS)
    rotating.rotate()
    assert rotating.accepted(old) == set()
    assert rotating.accepted(rotating.passwords()) == set(LOGINS)
    before = rotating.seen()

    # The registry is not needed for it.
    rotating.hub.sh("docker stop registry")
    try:
        rotating.back("poetry")
        assert box.version() == "1.4.0"
    finally:
        rotating.hub.sh("docker start registry")
    assert rotating.seen() == before
    rotating.back("uv")
    rotating.back("1.4.0-poetry")
    assert (box.version(), rotating.seen()) == ("1.4.0", before)

    # What is had with a login is still had, with that of today.
    assert rotating.accepted(rotating.passwords()) == set(LOGINS)
    box.sh(f"docker image inspect {OWN}:1.3.0-poetry && exit 1; docker pull -q {OWN}:1.3.0-poetry")
    trust = f"--allow-insecure-host lab-1:{PORT} --no-config --no-cache -q"
    installed = box.sh(
        "cd $(mktemp -d) && chown app . && runuser -u app -- env HOME=/home/app PATH=$PATH "
        f"uv pip install {trust} --default-index {INDEX} --no-deps --target here {PACKAGE} "
        "&& ls here"
    )
    assert "maestro" in installed
    rotating.deploy("2.0.0-uv")
    assert box.version() == "2.0.0"


def test_the_records_of_releases_hold_no_password_of_a_service(rotating: Rotating) -> None:
    passwords = [*rotating.passwords().values()]
    words = " ".join(f"-e {word}" for word in (*passwords, rotating.box.token))
    found = rotating.box.sh(f"grep -rohF {words} /var/lib/uplift/releases | sort -u").split()
    # The application's own is what is found.
    assert found == [rotating.box.token]
