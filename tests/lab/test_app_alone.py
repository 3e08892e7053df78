"""An application without a proxy on a real host: stopped first, then started, and put back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.lab.app_box import REPOSITORY, Site

pytest_plugins = ["tests.lab.app_box"]
pytestmark = pytest.mark.slow


@dataclass
class Alone(Site):
    """The application has a port of the host's own, and one container."""

    def block(self, tag: str, **fields: Any) -> dict[str, Any]:
        """Return the settings of a version."""
        return {
            "name": "testapp",
            "image": f"{REPOSITORY}:{tag}",
            "proxy": "none",
            "ports": [{"host": 8000, "container": 8000}],
            "stop_timeout": 5,
            "secrets": {"drain-token": {"secret": "testapp/drain"}},
            "ready": {"http": {"port": 8000, "path": "/readyz"}, "stable": 1, "start_period": 6},
            **fields,
        }

    def version(self) -> str:
        """Ask at its own port."""
        return self.sh("curl -s http://127.0.0.1:8000/version")

    def clean(self) -> None:
        """Take the application away."""
        self.sh("docker rm -f testapp testapp--previous testapp--next", check=False)
        super().clean()

    def happened(self, since: str) -> list[str]:
        """Tell which versions started and ended since then, in order."""
        form = "{{.Action}} {{.Actor.Attributes.image}}"
        kinds = "--filter event=start --filter event=die --filter label=io.uplift.subject=testapp"
        until = "--until $(($(date +%s) + 1))"
        said = self.sh(f"docker events --since {since} {until} {kinds} --format '{form}'")
        words = [line.split() for line in said.splitlines()]
        return [f"{action} {self.version_of(image)}" for action, image in words]

    def version_of(self, image: str) -> str:
        """Return the version in an image."""
        shown = "{{range .Config.Env}}{{println .}}{{end}}"
        said = self.sh(f"docker image inspect -f '{shown}' {image} | grep ^VERSION=")
        return said.removeprefix("VERSION=")


@pytest.fixture
def alone(box: Site) -> Iterator[Alone]:
    """A host on which it never was."""
    site = Alone(**vars(box))
    site.clean()
    yield site
    site.clean()


def test_the_old_one_ends_before_the_new_one_starts_and_comes_back_when_that_fails(
    alone: Alone,
) -> None:
    assert alone.changed("1.4.0-poetry") == ["HAProxy", "Application"]
    assert alone.version() == "1.4.0"
    before = alone.seen()
    assert alone.changed("1.4.0-poetry") == []
    assert alone.seen() == before

    since = alone.sh("date +%s")
    assert alone.changed("2.0.0-uv") == ["Application"]
    assert alone.happened(since) == ["die 1.4.0", "start 2.0.0"]
    assert (alone.version(), alone.containers()) == ("2.0.0", "testapp running")
    assert alone.outcomes() == ["good", "good"]

    alone.sh("sleep 2")
    since = alone.sh("date +%s")
    bad = alone.run("2.1.0-uv", check=False)
    said = bad.stdout + bad.stderr
    assert bad.returncode == 1
    assert "its check (http) fails: answers 500" in said
    assert alone.happened(since) == ["die 2.0.0", "start 2.1.0", "die 2.1.0", "start 2.0.0"]
    assert (alone.version(), alone.containers()) == ("2.0.0", "testapp running")
    assert alone.outcomes() == ["good", "good", "failed"]
    assert alone.changed("2.0.0-uv") == []

    assert alone.changed("2.0.0-uv", "--data", "to=previous") == ["Roll back"]
    assert (alone.version(), alone.containers()) == ("1.4.0", "testapp running")
    assert alone.changed("2.0.0-uv", "--data", "to=poetry") == []
