"""Several applications of one host behind one HAProxy: who gets which request, and who nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.lab.app_box import Site
from tests.lab.prober import Prober

pytest_plugins = ["tests.lab.app_box"]
pytestmark = pytest.mark.slow

NOBODY = "no application of this name or path"
WORDS = "We are moving house, back at noon"
# Each answers with its version.
APPS = {
    "testapp-a": ("1.4.0-poetry", {"host": "a.example"}),
    "testapp-b": ("2.0.0-uv", {"host": "b.example"}),
    "testapp-p": ("1.3.0-poetry", {"path": "/below"}),
}


@dataclass
class Several:
    """A host with several applications."""

    box: Site
    file: Path

    def deploy(self, *options: str, **fields: Any) -> list[str]:
        """Deploy all, the first with more settings; return what changed something."""
        blocks = [
            self.box.block(
                tag,
                name=name,
                routes=[route],
                slot_ports=[18011 + 2 * place, 18012 + 2 * place],
                hold=0,
                **(fields if place == 0 else {}),
            )
            for place, (name, (tag, route)) in enumerate(APPS.items())
        ]
        inventory = self.box.inventory(self.file, *blocks)
        done = self.box.pyinfra(inventory, "deploys/app.py", "-y", "--json", *options)
        operations = json.loads(done.stdout)["results"]["operations"]
        return [one["name"].rpartition(" | ")[2] for one in operations if one["success"]]

    def get(self, host: str, path: str = "/") -> tuple[str, str]:
        """Ask through HAProxy by a name; return status and body."""
        said = self.box.sh(
            f"curl -s -w '\n%{{http_code}}' -H 'Host: {host}' http://127.0.0.1{path}"
        )
        body, _, status = said.rpartition("\n")
        return status, body


@pytest.fixture(scope="module")
def several(
    box: Site,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Several]:
    """All of them are deployed; they are taken away afterwards."""
    box.clean()
    folder = tmp_path_factory.mktemp("routes")
    (folder / "page.html").write_text(f"<h1>{WORDS}</h1>\n")
    before = box.haproxy
    box.haproxy = {**before, "maintenance_page": str(folder / "page.html")}
    patch = pytest.MonkeyPatch()
    for name, value in box.environment.items():
        patch.setitem(environment, name, value)
    it = Several(box, folder / "lab.py")
    it.deploy()
    yield it
    patch.undo()
    box.haproxy = before
    box.sh("docker rm -f $(docker ps -aq --filter name=^testapp-[abp]-)")
    box.sh("rm -rf /var/lib/uplift/*/testapp-[abp]* /etc/uplift/*/testapp-[abp]*")
    box.clean()


def test_each_application_gets_the_requests_of_its_name_or_path_and_no_others(
    several: Several,
) -> None:
    assert several.get("a.example") == ("200", "1.4.0")
    # A name is one in any case, and with a port.
    assert several.get("B.example:80") == ("200", "2.0.0")
    assert several.get("c.example", "/below/it") == ("200", "1.3.0")
    assert several.get("c.example", "/below") == ("200", "1.3.0")
    # A name is narrower than a path.
    assert several.get("a.example", "/below") == ("200", "1.4.0")
    for host, path in (("c.example", "/"), ("c.example", "/belows"), ("a.example.org", "/")):
        status, body = several.get(host, path)
        assert (status, NOBODY in body) == ("404", True), (host, path)
    assert several.deploy() == []


def test_one_application_shows_the_maintenance_page_while_the_others_go_on(
    several: Several,
) -> None:
    before = several.box.seen()
    with Prober(several.box.address, several.box.port, path="/below") as prober:
        assert several.deploy(maintenance=True) == ["HAProxy"]
        status, body = several.get("a.example")
        assert (status, WORDS in body) == ("503", True)
        assert several.get("b.example") == ("200", "2.0.0")
        assert several.deploy(maintenance=True) == []
        status, body = several.get("a.example", "/below")
        assert (status, WORDS in body) == ("503", True)
        assert several.deploy() == ["HAProxy"]
        assert several.get("a.example") == ("200", "1.4.0")
        assert several.deploy() == []
    assert prober.failures == []
    assert set(prober.answers) == {"1.3.0"}
    assert sum(prober.answers.values()) > 100
    # No container was touched for it.
    assert several.box.seen() == before


def test_an_application_is_deployed_and_taken_back_behind_the_maintenance_page(
    several: Several,
) -> None:
    # What is switched there is not seen from outside.
    assert several.deploy(maintenance=True, environment={"GREETING": "new"}) == [
        "HAProxy",
        "Applications",
    ]
    assert several.get("a.example")[0] == "503"
    records = several.box.sh("cat /var/lib/uplift/releases/testapp-a/*/release.json")
    assert "GREETING" in records
    assert "maintenance" not in records
    several.box.pyinfra(str(several.file), "deploys/rollback.py", "-y", "--data", "app=testapp-a")
    assert several.get("a.example")[0] == "503"
    assert several.deploy() == ["HAProxy"]
    assert several.get("a.example") == ("200", "1.4.0")


def test_where_no_slot_serves_the_maintenance_page_is_shown(several: Several) -> None:
    several.box.sh("docker stop $(docker ps -q --filter name=^testapp-a-)")
    try:
        several.box.sh("sleep 3")
        status, body = several.get("a.example")
        assert (status, WORDS in body) == ("503", True)
        assert several.get("b.example") == ("200", "2.0.0")
    finally:
        assert several.deploy() == ["Applications"]
    assert several.get("a.example") == ("200", "1.4.0")
