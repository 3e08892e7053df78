"""Names and groups of a lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from uplift.lab import names
from uplift.spec.errors import UsageError


def test_two_checkouts_of_one_project_have_different_labs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPLIFT_LAB", raising=False)
    one, two = (names.default_name(Path(path)) for path in ("/a/My Project", "/b/My Project"))
    assert one != two
    assert one.startswith("my-project-")
    assert names.default_name(Path("/a/My Project")) == one


@pytest.mark.parametrize("folder", ["/", "/.", "/--", "/ä", f"/{'long' * 30}", "/-x-"])
def test_every_folder_gives_a_usable_name(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPLIFT_LAB", raising=False)
    names.checked(names.default_name(Path(folder)))


def test_the_environment_names_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPLIFT_LAB", "mine")
    assert names.default_name(Path("/a")) == "mine"


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a_b", "a/b", "..", "a" * 41, "a\n"])
def test_a_name_that_docker_or_the_file_system_would_trip_over_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a lab"):
        names.checked(name)


def test_the_project_folder_is_found_from_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inventories").mkdir()
    below = tmp_path / "docs" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert names.project_folder() == tmp_path


def test_the_first_host_runs_the_services_and_the_others_the_applications() -> None:
    assert names.groups(["lab-1", "lab-2", "lab-3"]) == {
        "services": ["lab-1"],
        "builders": ["lab-1"],
        "apps": ["lab-2", "lab-3"],
    }


def test_a_single_host_is_in_every_group() -> None:
    assert set(map(tuple, names.groups(["lab-1"]).values())) == {("lab-1",)}
