"""Every image of the lab: what it is made of, and its name where images are published."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from uplift.lab.images import influxdb, nexus
from uplift.lab.images.context import Entry
from uplift.lab.images.kit import Kit
from uplift.spec.errors import UsageError

Fetch = Callable[[Kit], list[Entry]]


@dataclass(frozen=True)
class Recipe:
    """How one image is made.

    Args:
        name: what a person asks for.
        reference: repository and tag of the same image on public registries, which is also its
            name in the lab registry.
        folder: its files, under ``recipes/``.
        dockerfile: the one of the folder that builds it.
        base: the image it is built on; None for one that debootstrap makes.
        public: whether public registries have it.
        args: build arguments; versions that are fetched stand here too, so that they are hashed.
        ca: whether the controller's extra CA certificates go into it.
        fetch: downloads or compiles what the build needs beside the recipe's files.
    """

    name: str
    reference: str
    folder: str
    base: str | None = "debian:trixie"
    dockerfile: str = "Dockerfile"
    public: bool = True
    args: Mapping[str, str] = field(default_factory=dict)
    ca: bool = False
    fetch: Fetch | None = None

    @property
    def slug(self) -> str:
        """Give the name as it may stand in a repository or a file name."""
        return self.name.replace(":", "-")


def _debian(suite: str) -> Recipe:
    return Recipe(
        f"debian:{suite}", f"debian:{suite}-slim", "debian", base=None, args={"SUITE": suite}
    )


def _host(name: str, suite: str) -> Recipe:
    return Recipe(
        name,
        f"uplift-lab/host:{suite}",
        "host",
        base=f"debian:{suite}",
        public=False,
        args={"SUITE": suite},
    )


def _nexus(version: str, build: str, java: str, base: str, sha256: str) -> Recipe:
    return Recipe(
        f"nexus:{version}",
        f"sonatype/nexus3:{version}",
        "nexus",
        base=base,
        args={"JAVA": java, "VERSION": f"{version}-{build}"},
        ca=True,
        fetch=nexus.fetch(f"{version}-{build}", sha256),
    )


def _influxdb(version: str) -> Recipe:
    return Recipe(
        f"influxdb:{version}",
        f"influxdb:{version}",
        "influxdb",
        args={"VERSION": version},
        fetch=influxdb.fetch(version),
    )


_RECIPES = (
    _debian("trixie"),
    _debian("bookworm"),
    _host("host", "trixie"),
    _host("host:bookworm", "bookworm"),
    Recipe(
        "host-light",
        "uplift-lab/host-light:trixie",
        "host",
        dockerfile="Dockerfile.light",
        public=False,
        args={"SUITE": "trixie"},
    ),
    Recipe("python", "python:3.13-slim", "python"),
    Recipe("node", "node:20-slim", "node"),
    Recipe("nginx", "nginx:1.26", "nginx"),
    Recipe("registry", "registry:2", "registry"),
    Recipe("redis", "redis:8", "redis"),
    _nexus(
        "3.29.2",
        "02",
        "8",
        "debian:trixie",
        "723b2202ed154ea48f037ff5bcc7ae29cb7014d36120549ad1768d159de01818",
    ),
    _nexus(
        "3.30.0",
        "01",
        "8",
        "debian:trixie",
        "9458436daaa222f27e8163ae1bc752af1911136de9aa33e6324567a9b6e9253c",
    ),
    # Debian 12 is the release that has Java 17.
    _nexus(
        "3.71.0",
        "06",
        "17",
        "debian:bookworm",
        "432bb2bf10c4c04dfb36ad87796cfaaf4f747eb9db54e6634bb4576ffe891f17",
    ),
    _influxdb("2.7.11"),
    _influxdb("2.7.12"),
)
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _RECIPES}
NAMES: tuple[str, ...] = tuple(RECIPES)


def find(name: str) -> Recipe:
    """Find a recipe by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, NAMES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"No lab image is called {name!r}.{hint} There are: {', '.join(NAMES)}.")


def lab_tag(name: str) -> str:
    """Name the repository and tag of an image in the lab registry.

    They are those of public registries (``sonatype/nexus3:3.30.0``, ``python:3.13-slim``), because
    the lab registry plays the public one: settings differ by the registry's address alone.

    Raises:
        UsageError: there is no image of that name.
    """
    return find(name).reference
