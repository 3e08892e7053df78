"""Get an image: the one that is there, else pulled, else built; and list and remove them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound
from docker.models.images import Image as EngineImage

from uplift.lab.images import context, debian, engine, mirrors
from uplift.lab.images.catalog import RECIPES, Recipe, find
from uplift.lab.images.kit import Kit
from uplift.lab.images.places import Report, lock, work_folder

PREFIX = "uplift-lab"
LABEL = "io.uplift.lab.image"
LABEL_HASH = "io.uplift.lab.hash"
LABEL_HOW = "io.uplift.lab.how"
LABEL_BUILDING = "io.uplift.lab.building"
BUILT = "built from packages"
REGISTRY_VARIABLE = "UPLIFT_LAB_REGISTRY"
DOCKERFILE = "Dockerfile"
FROM = b"FROM ${BASE}\n"


@dataclass(frozen=True)
class Image:
    """An image of the lab on the local Engine.

    Args:
        name: what a person asks for.
        tag: repository and tag on the Engine.
        how: ``cached``, ``built from packages`` or ``pulled from <reference>``.
        seconds: what it took to get it now.
        size: bytes on disk, base included.
    """

    name: str
    tag: str
    how: str
    seconds: float
    size: int


@dataclass(frozen=True)
class _Inputs:
    """What an image is made of, and the hash over it all."""

    files: tuple[context.Entry, ...]
    ca: tuple[context.Entry, ...]
    digest: str


@dataclass(frozen=True)
class _Task:
    """One call of :func:`ensure`, and what its steps share."""

    client: docker.DockerClient
    report: Report
    install: bool


def ensure(name: str, report: Report, *, install: bool = False) -> Image:
    """Have an image on the local Engine; pull or build it only when its inputs changed.

    Args:
        name: one of ``NAMES``.
        report: told short lines of progress.
        install: whether missing tools (debootstrap) may be installed on this machine.

    Raises:
        UsageError: there is no image of that name.
        UpliftError: it could be had neither way.
    """
    return _ensure(_Task(engine.connect(), report, install), find(name))


def _ensure(task: _Task, recipe: Recipe) -> Image:
    started = time.monotonic()
    inputs = _inputs(recipe)
    tag = f"{PREFIX}/{recipe.slug}:{inputs.digest[:12]}"
    how = "cached"
    found = engine.find(task.client, tag)
    if found is None:
        with lock(recipe.slug, task.report):
            if engine.find(task.client, tag) is None:  # else another process made it meanwhile
                how = _make(task, recipe, inputs, tag)
            found = task.client.images.get(tag)
    seconds = time.monotonic() - started
    return Image(recipe.name, tag, how, seconds, found.attrs["Size"])


def _inputs(recipe: Recipe) -> _Inputs:
    files = context.recipe_files(recipe.folder)
    ca = context.extra_ca() if recipe.ca else []
    base = _inputs(find(recipe.base)).digest if recipe.base else ""
    args = {**recipe.args, "name": recipe.name, "dockerfile": recipe.dockerfile}
    digest = context.fingerprint([*files, *ca], args, base)
    return _Inputs(tuple(files), tuple(ca), digest)


def _make(task: _Task, recipe: Recipe, inputs: _Inputs, tag: str) -> str:
    reference = _public_reference(recipe) if recipe.public else None
    if reference and _pull(task, recipe, reference, inputs, tag):
        return f"pulled from {reference}"
    if recipe.base is None:
        _bootstrap(task, recipe, inputs, tag)
        return BUILT
    base = _ensure(task, find(recipe.base)).tag
    _build(task, recipe, inputs, tag, how=BUILT, base=base)
    return BUILT


def _public_reference(recipe: Recipe) -> str | None:
    """Name the image on the registry to pull from, if that registry answers."""
    registry = os.environ.get(REGISTRY_VARIABLE, "").strip("/")
    prefix = f"{registry}/" if registry else ""
    if not engine.registry_answers(prefix + RECIPES["debian:trixie"].reference):
        return None
    return prefix + recipe.reference


def _pull(task: _Task, recipe: Recipe, reference: str, inputs: _Inputs, tag: str) -> bool:
    had_it = engine.find(task.client, reference) is not None
    task.report(f"{recipe.name}: pulling {reference}")
    trouble = engine.pull(task.client, reference, task.report)
    if trouble:
        task.report(f"{recipe.name}: not pulled ({trouble}), building it")
        return False
    _build(task, recipe, inputs, tag, how=f"pulled from {reference}", base=reference)
    if not had_it:  # its layers stay under our tag; the name is not ours to keep
        task.client.images.remove(reference)
    return True


def _labels(recipe: Recipe, inputs: _Inputs, how: str) -> dict[str, str]:
    return {
        LABEL: recipe.name,
        LABEL_HASH: inputs.digest,
        LABEL_HOW: how,
        LABEL_BUILDING: "no",
    }


def _bootstrap(task: _Task, recipe: Recipe, inputs: _Inputs, tag: str) -> None:
    suite = recipe.args["SUITE"]
    with work_folder(task.report) as folder:
        archive = debian.make_tree(suite, folder, task.report, install=task.install)
        engine.import_tree(task.client, archive, tag, _labels(recipe, inputs, BUILT))


def _build(task: _Task, recipe: Recipe, inputs: _Inputs, tag: str, *, how: str, base: str) -> None:
    pulled = how != BUILT
    with work_folder(task.report) as folder:
        archive = folder / "context.tar"
        entries = _entries(task, recipe, inputs, folder, pulled=pulled)
        context.write_tar(archive, entries, folders=["ca", "apt"])
        engine.build(
            task.client,
            archive,
            tag,
            args={**recipe.args, "BASE": base},
            labels=_labels(recipe, inputs, how),
            report=lambda line: task.report(f"{recipe.name}: {line}"),
        )


def _entries(
    task: _Task, recipe: Recipe, inputs: _Inputs, folder: Path, *, pulled: bool
) -> list[context.Entry]:
    plain = [entry for entry in inputs.files if not entry.name.startswith(DOCKERFILE)]
    entries = [*plain, *inputs.ca, _dockerfile(recipe, inputs, pulled=pulled)]
    if recipe.fetch and not pulled:
        entries += recipe.fetch(Kit(folder, task.report, task.install))
    sources = mirrors.configured().sources(recipe.args["SUITE"]) if recipe.base is None else None
    if sources is not None:
        entries.append(context.Entry("apt/sources.list", sources.encode()))
    return entries


def _dockerfile(recipe: Recipe, inputs: _Inputs, *, pulled: bool) -> context.Entry:
    """Pick the recipe's Dockerfile; every layer says whose it is, also when a build is killed."""
    wanted = f"{DOCKERFILE}.pulled" if pulled else recipe.dockerfile
    found = (entry.content for entry in inputs.files if entry.name == wanted)
    text = next(found, b"ARG BASE\n" + FROM)
    assert isinstance(text, bytes)
    mark = f'LABEL {LABEL}="{recipe.name}" {LABEL_BUILDING}="yes"\n'.encode()
    return context.Entry(DOCKERFILE, text.replace(FROM, FROM + mark, 1))


def stored() -> list[Image]:
    """List what uplift made on this Engine, of every input hash, oldest first.

    Layers that an interrupted build left are listed with their id as the tag.
    """
    client = engine.connect()
    ours = client.images.list(filters={"label": LABEL})
    left = client.images.list(filters={"label": [LABEL, f"{LABEL_BUILDING}=yes"], "dangling": True})
    tagged = {image.id: image for image in [*ours, *left]}
    ordered = sorted(tagged.values(), key=lambda image: str(image.attrs["Created"]))
    return [made for image in ordered if (made := _as_made(image)) is not None]


def _as_made(image: EngineImage) -> Image | None:
    """Tell our own images from those that others built on them, which inherit the labels."""
    labels: Mapping[str, str] = image.labels
    name, size = labels[LABEL], image.attrs["Size"]
    if labels.get(LABEL_BUILDING) == "yes":
        return Image(name, str(image.id), "left by an interrupted build", 0.0, size)
    tag = f"{PREFIX}/{name.replace(':', '-')}:{labels.get(LABEL_HASH, '')[:12]}"
    if tag not in image.tags:
        return None
    return Image(name, tag, labels.get(LABEL_HOW, BUILT), 0.0, size)


def remove(images: Iterable[Image]) -> list[str]:
    """Remove exactly these images, those made last first.

    Args:
        images: as :func:`stored` lists them.

    Returns:
        One line for each image that had to stay, with the reason; empty when all are gone.
    """
    client = engine.connect()
    wanted = {image.tag for image in images}
    order = [image.tag for image in stored() if image.tag in wanted]
    stayed = []
    for tag in reversed(order):
        try:
            client.images.remove(tag, noprune=False)
        except ImageNotFound:
            continue
        except APIError as error:
            stayed.append(f"{tag}: {error.explanation}")
    return stayed
