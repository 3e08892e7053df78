"""Which indexes the controller's own tools are set up with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uplift import controller


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a machine without any configuration."""
    for key in list(os.environ):
        if key.upper().startswith(("PIP_", "UV_", "NPM_CONFIG_", "XDG_CONFIG")):
            monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(controller, "_ETC", tmp_path / "etc")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_pips_environment_wins_over_its_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / ".config/pip/pip.conf", "[global]\nindex-url = https://file.example.com/simple\n")
    assert controller.python_index() == "https://file.example.com/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example.com/simple")
    assert controller.python_index() == "https://env.example.com/simple"


def test_a_file_of_pip_may_hold_percent_signs_and_no_index(home: Path) -> None:
    write(home / ".config/pip/pip.conf", "[global]\ncert = /a%20b\n[install]\nuser = yes\n")
    write(home / ".pip/pip.conf", "[global]\nindex-url = https://old.example.com/a%20b\n")
    assert controller.python_index() == "https://old.example.com/a%20b"


def test_uv_is_asked_where_pip_says_nothing(home: Path) -> None:
    write(
        home / ".config/uv/uv.toml",
        '[[index]]\nname = "a"\nurl = "https://a.example.com"\n'
        '[[index]]\nname = "b"\nurl = "https://b.example.com"\ndefault = true\n',
    )
    assert controller.python_index() == "https://b.example.com"


def test_npms_registry_comes_from_environment_or_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / ".npmrc", "; ours\n@corp:registry=https://corp.example.com\n")
    assert controller.npm_registry() is None
    write(home / ".npmrc", 'registry = "https://npm.example.com/"\n')
    assert controller.npm_registry() == "https://npm.example.com/"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://env.example.com/")
    assert controller.npm_registry() == "https://env.example.com/"


def test_credentials_stay_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:planted-canary@env.example.com:8443/simple")
    assert controller.python_index() == "https://env.example.com:8443/simple"


def test_the_machines_own_file_counts_last(home: Path) -> None:
    write(home / "etc/pip.conf", "[global]\nindex-url = https://etc.example.com/simple\n")
    assert controller.python_index() == "https://etc.example.com/simple"


def test_added_certificates_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b.crt", "a.crt", "c.pem"):
        write(tmp_path / "ca" / name, "x")
    folder = str(tmp_path / "ca")
    assert controller.certificates(folder) == [f"{folder}/a.crt", f"{folder}/b.crt"]
    assert controller.certificates(f"{folder}/none") == []


def test_a_proxy_for_python_gets_the_address_above_simple(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builtin = controller.python_remote()
    assert builtin.startswith("https://") and builtin.endswith("/") and "simple" not in builtin
    for index in ("https://env.example.com/a/simple", "https://env.example.com/a/simple/"):
        monkeypatch.setenv("PIP_INDEX_URL", index)
        assert controller.python_remote() == "https://env.example.com/a/"
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example.com/flat")
    assert controller.python_remote() == "https://env.example.com/flat/"


def test_a_proxy_for_npm_gets_this_machines_registry_else_npms_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = home / "bin"
    write(tools / "npm", "#!/bin/sh\necho https://own.example.com/\n")
    (tools / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    asked = controller.npm_remote.__wrapped__
    assert asked() == "https://own.example.com/"
    write(home / ".npmrc", "registry = https://npm.example.com")
    assert asked() == "https://npm.example.com/"
    write(home / ".npmrc", "")
    monkeypatch.setenv("PATH", str(home))
    assert asked() is None
