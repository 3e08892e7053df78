"""A project made by `uplift init` is complete, commented and works; nothing is overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from uplift.cli.main import run
from uplift.remote import inventory
from uplift.scaffold import project
from uplift.settings import from_data
from uplift.spec.errors import Exit

ROOT = Path(__file__).parents[2]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "ours"
    assert run(["init", str(folder)]) == Exit.DONE
    return folder


def files(folder: Path) -> dict[str, str]:
    found = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_text() for file in found}


def test_everything_that_a_first_run_needs_is_there(made: Path) -> None:
    assert set(files(made)) >= {
        ".gitignore",
        "README.md",
        "config.py",
        "deploys/site.py",
        "deploys/uv.py",
        "group_data/all.py",
        "inventories/known_hosts",
        "inventories/prod.py",
        "inventories/staging.py",
        "requirements.in",
        "tests/verify/conftest.py",
        "tests/verify/test_site.py",
    }


def test_nothing_of_the_lab_is_in_it(made: Path) -> None:
    assert [path for path in files(made) if "lab" in path] == []


def test_shared_files_are_the_repositorys_own_byte_for_byte(made: Path) -> None:
    for path in ("config.py", "deploys/site.py", "group_data/all.py", "inventories/prod.py"):
        assert (made / path).read_bytes() == (ROOT / path).read_bytes()


def test_every_file_compiles_and_pleases_ruff(made: Path) -> None:
    sources = [path for path in files(made) if path.endswith(".py")]
    for path in sources:
        compile((made / path).read_text(), path, "exec")
    words = ["check", "--isolated", "--line-length", "100", "--select", "E,F,W,B,UP", "."]
    ruff = [str(Path(sys.executable).parent / "ruff"), *words]
    done = subprocess.run(ruff, cwd=made, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["prod", "staging"])
def test_pyinfra_loads_its_inventories_with_valid_settings(
    made: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(made)
    hosts = inventory.hosts(f"inventories/{name}.py")
    assert {group for host in hosts for group in host.groups} >= {"services", "apps", "builders"}
    for host in hosts:
        assert from_data(dict(host.data)).uv is not None


def test_the_version_that_made_it_is_pinned(made: Path) -> None:
    assert "@VERSION@" not in "".join(files(made).values())
    assert "pyinfra-uplift==0." in (made / "requirements.in").read_text()


def test_each_command_of_its_readme_exists(made: Path) -> None:
    lines = (made / "README.md").read_text().splitlines()
    commands = [line.split("#")[0].split() for line in lines if line.startswith("    uplift ")]
    assert [words[1] for words in commands] == ["secrets", "doctor", "secrets", "verify"]
    for words in commands:
        assert run([words[1], "--help"]) == Exit.DONE
    for word in (word for words in commands for word in words if word.endswith(".py")):
        assert (made / word).is_file()


def test_a_folder_that_holds_something_is_refused_and_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.py").write_text("mine\n")
    assert run(["init", str(tmp_path)]) == Exit.USAGE
    assert files(tmp_path) == {"config.py": "mine\n"}
    assert "config.py" in capsys.readouterr().err


def test_a_hidden_file_counts_as_something(tmp_path: Path) -> None:
    (tmp_path / ".envrc").write_text("mine\n")
    assert run(["init", str(tmp_path)]) == Exit.USAGE


def test_a_fresh_git_repository_is_a_place_for_it(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert run(["init", str(tmp_path)]) == Exit.DONE
    assert (tmp_path / "config.py").is_file()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ours").write_text("mine\n")
    assert run(["init", str(tmp_path / "ours")]) == Exit.USAGE


def test_a_folder_that_cannot_be_made_is_an_error_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(["init", str(tmp_path / "file/ours")]) == Exit.FAILED
    assert "Not a directory" in capsys.readouterr().err


def test_the_json_lists_what_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", str(tmp_path / "ours"), "--json"]) == Exit.DONE
    document = json.loads(capsys.readouterr().out)
    assert set(document["files"]) == set(files(tmp_path / "ours"))


def test_doctor_there_finds_that_the_example_hosts_do_not_exist(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made)
    assert run(["doctor", "inventories/staging.py", "--json"]) == Exit.HELD
    document = json.loads(capsys.readouterr().out)
    by_check = {finding["check"]: finding for finding in document["controller"]}
    assert {by_check[check]["status"] for check in ("folder", "settings", "secrets")} == {"ok"}
    (host,) = document["hosts"]
    assert host["findings"][0]["kind"] == "resolve"


def test_a_wheel_writes_the_same_project_as_the_checkout(made: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "import uplift, sys; print(uplift.__file__); from uplift.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, "init", str(tmp_path / "theirs")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert files(tmp_path / "theirs") == files(made)


def test_an_installation_without_the_files_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(project, "_SHARED", (tmp_path,))
    assert run(["init", str(tmp_path / "ours")]) == Exit.FAILED
    assert "--force-reinstall" in capsys.readouterr().err
    assert not (tmp_path / "ours").exists()
