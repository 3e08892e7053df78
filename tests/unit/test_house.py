"""The rules of the house: one name a subject on every floor, deploys stay tables of contents."""

from __future__ import annotations

import importlib
import inspect
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from pyinfra.api.arguments import all_global_arguments

ROOT = Path(__file__).parents[2]
SUBJECTS = [
    "app",
    "backup",
    "certificates",
    "clients",
    "docker",
    "images",
    "influxdb",
    "nexus",
    "packages",
    "redis",
    "registry",
    "tools",
    "uv",
]


def operations() -> list[Callable[..., object]]:
    """Every public operation of ours."""
    found = []
    for file in sorted((ROOT / "src/uplift/operations").glob("*.py")):
        module = importlib.import_module(f"uplift.operations.{file.stem}")
        found += [
            value
            for key, value in vars(module).items()
            if not key.startswith("_")
            and getattr(value, "is_idempotent", None) is not None
            and value.__module__ == module.__name__
        ]
    return found


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize(
    "floor",
    [
        "src/uplift/spec",
        "src/uplift/facts",
        "src/uplift/operations",
        "deploys",
        "tests/fake/test_",
        "tests/lab/test_",
        "tests/verify/test_",
        "docs",
    ],
)
def test_a_subject_has_its_name_on_every_floor(subject: str, floor: str) -> None:
    stem = f"{floor}{subject}" if floor.endswith("_") else f"{floor}/{subject}"
    assert any((ROOT / f"{stem}{end}").exists() for end in (".py", "/__init__.py", ".md"))


@pytest.mark.parametrize("deploy", sorted((ROOT / "deploys").glob("*.py")), ids=lambda p: p.stem)
def test_a_deploy_file_is_a_table_of_contents(deploy: Path) -> None:
    assert len(deploy.read_text().splitlines()) <= 40


def test_there_is_an_operation_for_each_subject() -> None:
    modules = {operation.__module__.rsplit(".", 1)[1] for operation in operations()}
    assert modules >= set(SUBJECTS)


@pytest.mark.parametrize("operation", operations(), ids=lambda op: f"{op.__module__}.{op.__name__}")
def test_an_operation_documents_its_arguments_and_shadows_none_of_pyinfras(
    operation: Callable[..., object],
) -> None:
    parameters = set(inspect.signature(operation._inner).parameters)  # type: ignore[attr-defined]
    doc = inspect.getdoc(operation) or ""
    assert not parameters & {"name", *(argument for argument, _ in all_global_arguments())}
    assert [p for p in parameters if f"+ {p}:" not in doc] == []


def test_every_dependency_has_a_reason_in_the_architecture_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs/architecture.md").read_text()
    names = [requirement.split(">")[0].split("~")[0] for requirement in project["dependencies"]]
    assert [name for name in names if name not in page] == []


def pins(kind: str) -> dict[str, str]:
    """Return the versions that a file of requirements pins."""
    text = (ROOT / f"requirements/{kind}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, flags=re.MULTILINE))


def test_what_runs_has_the_versions_that_are_tested() -> None:
    tested = pins("dev")
    other = {name: version for name, version in pins("run").items() if tested[name] != version}
    assert other == {}


def test_the_example_packages_are_built_by_the_pinned_uv_itself() -> None:
    """Another version of its backend would have to be fetched, from an index that may lack it."""
    manifests = sorted((ROOT / "examples/maestro/packages").glob("*/pyproject.toml"))
    needed = {tomllib.loads(one.read_text())["build-system"]["requires"][0] for one in manifests}
    assert [one for one in needed if one.startswith("uv_build")] == [
        f"uv_build=={pins('run')['uv']}"
    ]
