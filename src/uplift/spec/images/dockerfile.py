"""Dockerfiles from templates."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from urllib.parse import urlsplit

from jinja2 import DictLoader, Environment, StrictUndefined, TemplateError

from uplift.spec.errors import Problem, SettingsError
from uplift.spec.images.models import Image

TEMPLATES = (
    "Dockerfile.uv.j2",
    "Dockerfile.poetry.j2",
    "Dockerfile.pip.j2",
    "Dockerfile.begin.j2",
    "Dockerfile.end.j2",
)


def render(image: Image, templates: Mapping[str, str], project: Mapping[str, bytes]) -> str:
    """Return the text of a Dockerfile.

    Args:
        image: not of the builder ``dockerfile``.
        templates: their texts, by name.
        project: ``pyproject.toml`` and locks of the source, as far as they are there.

    Raises:
        SettingsError: the source lacks what the builder needs, or a template is none.
    """
    if missing := _missing(image, project):
        raise SettingsError([Problem("images", f"{image.name}: {image.source} has no {missing}")])
    environment = Environment(
        loader=DictLoader(dict(templates)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - a Dockerfile is no HTML
    )
    values = {
        "image": image,
        "base": image.base_image,
        "index": image.index.url if image.index else "",
        "login": bool(image.index and image.index.password),
        # pip takes packages over plain HTTP only from hosts that it is told to trust.
        "trusted": _plain(image),
        "lock": "uv.lock" in project,
        "elsewhere": bool(image.index) and not _made_there(image, project),
        "packaged": _is_packaged(image, project),
        "words": json.dumps(image.entry_point, ensure_ascii=False),
    }
    name = f"Dockerfile.{image.builder}.j2"
    try:
        return environment.get_template(name).render(values)
    except TemplateError as error:
        raise SettingsError([Problem("images.templates", f"{name}: {error}")]) from None


def _plain(image: Image) -> str:
    """Return host and port of an index that speaks plain HTTP, or nothing."""
    parts = urlsplit(image.index.url if image.index else "")
    return parts.netloc if parts.scheme == "http" else ""


def _made_there(image: Image, project: Mapping[str, bytes]) -> bool:
    """Return whether ``uv.lock`` was made with the very index of the settings, and no other."""
    try:
        lock = tomllib.loads(project.get("uv.lock", b"").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problem = Problem("images", f"{image.name}: {image.source}/uv.lock: {error}")
        raise SettingsError([problem]) from None
    sources = [one.get("source", {}) for one in lock.get("package", [])]
    named = {one["registry"].rstrip("/") for one in sources if "registry" in one}
    return image.index is not None and named == {image.index.url.rstrip("/")}


def wanted(image: Image) -> tuple[str, ...]:
    """Return the files of a source that decide how it is built."""
    return ("pyproject.toml", "uv.lock", "poetry.lock", image.requirements)


def _missing(image: Image, project: Mapping[str, bytes]) -> str:
    need: dict[str, tuple[str, ...]] = {
        "poetry": ("pyproject.toml", "poetry.lock"),
        "pip": (image.requirements,),
        "uv": ("pyproject.toml",) if "uv.lock" in project else (image.requirements,),
    }
    absent = [name for name in need[image.builder] if name not in project]
    if image.builder == "uv" and absent == [image.requirements]:
        return f"uv.lock and no {image.requirements}"
    return " and no ".join(absent)


def _is_packaged(image: Image, project: Mapping[str, bytes]) -> bool:
    """Return whether the project itself is installed: then it says how it is built."""
    try:
        text = tomllib.loads(project.get("pyproject.toml", b"").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problem = Problem("images", f"{image.name}: {image.source}/pyproject.toml: {error}")
        raise SettingsError([problem]) from None
    poetry = text.get("tool", {}).get("poetry", {})
    return "build-system" in text and poetry.get("package-mode") is not False
