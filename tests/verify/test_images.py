"""Images: their registry has what the settings say, and they hold nothing that they should not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from testinfra.host import Host

from uplift.operations.images_work import collect
from uplift.settings import Settings
from uplift.spec.images import Inputs, leftover
from uplift.verify import images
from uplift.verify.images import Looked

Seen = Mapping[str, tuple[Inputs, Looked]]

NOT_BUILT = "not in its registry: what it is made from has changed, or deploys/images.py never ran"


@pytest.fixture(scope="module")
def every(host: Host, settings: Settings) -> Seen:
    if settings.images is None or not settings.images.build:
        pytest.skip("the settings list no images to build")
    return {one.moving: (one, images.look(host, one)) for one in collect(settings.images)}


@pytest.fixture(scope="module")
def seen(every: Seen) -> Seen:
    """The images that are there; that others are missing is said once, by the first test."""
    found = {name: pair for name, pair in every.items() if pair[1].image}
    if not found:
        pytest.skip("no image is there to be looked at")
    return found


def test_its_tags_name_the_digest_that_was_pushed(every: Seen) -> None:
    wrong = {}
    for name, (one, it) in every.items():
        if it.trouble or not it.fixed:
            wrong[name] = it.trouble or f"{one.fixed}: {NOT_BUILT}"
        elif it.moving != it.fixed:
            wrong[name] = f"it is {it.moving or 'not there'}, and {one.fixed} is {it.fixed}"
        elif it.recorded not in ("", it.fixed):
            wrong[name] = f"{one.fixed} is {it.fixed}; this host pushed {it.recorded} under it"
    assert wrong == {}


def test_its_labels_say_what_built_it_from_what(seen: Seen) -> None:
    wrong = {name: leftover.labels(one, it.labels) for name, (one, it) in seen.items()}
    assert {name: said for name, said in wrong.items() if said} == {}


def test_it_does_not_run_as_root(seen: Seen, warn: Callable[[str], None]) -> None:
    root = [name for name, (_, it) in seen.items() if leftover.runs_as_root(it.image)]
    own = {name for name in root if seen[name][0].image.builder == "dockerfile"}
    for name in sorted(own):
        warn(f"{name} runs as root, as its own Dockerfile says")
    assert [name for name in root if name not in own] == []


def test_no_installer_and_no_compiler_is_left_in_it(
    seen: Seen, warn: Callable[[str], None]
) -> None:
    wrong = {}
    for name, (one, it) in seen.items():
        assert it.files > 0, f"{name}: no file of it was read"
        left = leftover.tools(it.left, one.image.gate_allows)
        if left and one.image.builder == "dockerfile":
            warn(f"{name} holds {', '.join(left)}, as its own Dockerfile says")
        elif left:
            wrong[name] = left
    assert wrong == {}


def test_no_secret_is_in_its_layers_history_or_environment(seen: Seen) -> None:
    wrong = {
        name: it.found or ["it could not be read"] for name, (_, it) in seen.items() if it.gate
    }
    assert wrong == {}
