"""Settings of a host: what is refused, in which words, and in which file it is said to stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyinfra
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyinfra.api import Inventory

from uplift import settings as module
from uplift.given import apps_of, pinned
from uplift.secrets import MissingSecretError
from uplift.settings import (
    BLOCKS,
    Settings,
    for_host,
    from_data,
    sources_of,
    with_secrets,
)
from uplift.spec.errors import Exit, SettingsError
from uplift.spec.secret import secret

ROOT = Path(__file__).parents[2]


def complaints(data: dict[str, Any], sources: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        from_data(data, sources)
    assert caught.value.exit_code == Exit.USAGE
    return [str(problem) for problem in caught.value.problems]


def test_blocks_are_optional_and_none_means_not_managed() -> None:
    for data in ({}, dict.fromkeys(BLOCKS)):
        settings = from_data(data)
        assert (settings.docker, settings.uv, settings.clients) == (None, None, None)
        assert settings.certificates.files == ()


def test_a_problem_names_file_key_finding_and_what_is_allowed() -> None:
    assert complaints(
        {"uv": {"version": "0.13.8", "keep": -1}, "docker": {"log_drivr": "local"}},
        {"uv": "group_data/all.py", "docker": "group_data/apps.py"},
    ) == [
        "group_data/apps.py: docker.log_drivr: unknown key, did you mean 'log_driver'? Allowed: "
        "daemon_json, data_root, default_address_pools, insecure_registries, live_restore, "
        "log_driver, log_opts, registries, registry_mirrors, restart_running",
        "group_data/all.py: uv.keep: Input should be greater than or equal to 0; found int -1",
    ]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("clints", "clients"), ("dockr", "docker"), ("certificate", "certificates")],
)
def test_a_misspelt_block_is_an_error_with_a_guess(typed: str, meant: str) -> None:
    (text,) = complaints({typed: {}}, {typed: "group_data/all.py"})
    assert text.startswith(f"group_data/all.py: {typed}: is no block of settings, did you mean")
    assert f"{meant!r}?" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", {"a": 1}),
        ("docker_hosts", {"a": 1}),
        ("shop", {"port": 1}),
        ("client", "acme"),  # no block could be text
        ("_clients", {"a": 1}),
    ],
)
def test_names_of_the_users_own_are_left_alone(name: str, value: Any) -> None:
    assert from_data({name: value}) == from_data({})


@given(value=st.text(alphabet="abcdefgXYZ0123456789", min_size=12))
def test_a_secret_in_a_wrong_place_is_never_shown(value: str) -> None:
    shown = "\n".join(
        complaints(
            {
                "uv": {"version": "0.13.8", "index": f"https://me:{value}@nexus.example.com/"},
                "docker": {"registry_mirrors": [f"https://me:{value}@mirror.example.com"]},
                "clients": {
                    "users": [
                        {
                            "user": "root",
                            "netrc": [{"machine": "m", "login": "l", "password": value}],
                            "npmrc": {"auth": [{"url": "https://n.example", "token": value}]},
                            "docker": {"auths": [{"password": {"secret": value + "?"}}]},
                        }
                    ]
                },
            }
        )
    )
    assert value not in shown
    assert "clients.users[0].netrc[0].password" in shown


def test_the_settings_describe_themselves_as_json_schema() -> None:
    schema = Settings.model_json_schema()
    assert set(schema["properties"]) == set(BLOCKS)
    assert json.loads(json.dumps(schema)) == schema


def test_settings_that_went_through_json_are_the_same() -> None:
    data = {
        "certificates": {"files": ("a.crt",)},
        "clients": {
            "users": [
                {
                    "user": "root",
                    "netrc": [
                        {"machine": "nexus.example.com", "login": "me", "password": secret("a/b")}
                    ],
                }
            ]
        },
    }
    assert from_data(json.loads(json.dumps(data))) == from_data(data)


# Where a value stands


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with group data."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "group_data"
    folder.mkdir()
    (folder / "all.py").write_text("if True:\n    uv = {}\nlog, docker = 1, {}\n")
    (folder / "apps.py").write_text("docker = {}\n")
    return tmp_path


def inventory(**host_data: Any) -> Inventory:
    """What pyinfra makes of a host in two groups, with group data of those files."""
    return Inventory(
        (["app-1"], {"uv": {}, "log": 1, "docker": {}}),
        apps=(["app-1"], {"docker": {}, "tier": "x"}),
        prod=([("app-1", host_data)], {}),
        override_data={"to": "1"},
    )


@pytest.mark.usefixtures("project")
def test_each_value_is_found_where_pyinfra_took_it_from() -> None:
    host = inventory(ssh_user="me").get_host("app-1")
    assert sources_of(host, "inventories/prod.py") == {
        "uv": "group_data/all.py",
        "log": "group_data/all.py",
        "docker": "group_data/apps.py",
        "tier": "inventories/prod.py",
        "ssh_user": "inventories/prod.py (host app-1)",
        "to": "--data",
    }


def test_a_later_folder_of_group_data_wins(project: Path) -> None:
    (project / "more").mkdir()
    (project / "more/apps.py").write_text("docker = {}\n")
    host = inventory().get_host("app-1")
    found = sources_of(host, None, [Path("group_data"), Path("more")])
    assert (found["docker"], found["uv"]) == ("more/apps.py", "group_data/all.py")


@pytest.mark.usefixtures("project")
def test_a_host_gets_its_merged_settings() -> None:
    host = inventory(uv={"version": "0.13.8"}).get_host("app-1")
    settings = for_host(host)
    assert settings.uv is not None
    assert settings.docker is not None
    assert settings.uv.version == "0.13.8"


@pytest.mark.usefixtures("project")
def test_a_wrong_value_of_a_host_names_the_host() -> None:
    host = inventory(uv={"version": 0.13}).get_host("app-1")
    with pytest.raises(SettingsError, match=r"the inventory \(host app-1\): uv.version"):
        for_host(host)


def test_no_group_data_at_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    host = Inventory((["app-1"], {"ssh_user": "me"})).get_host("app-1")
    with pytest.raises(SettingsError, match="no folder group_data: pyinfra reads"):
        for_host(host)


def given_apps(**data: Any) -> Any:
    """Return what --data chooses of a host's applications."""
    apps = [
        {
            "name": name,
            "image": f"r.example:5000/{name}:2.0.0-uv",
            "port": 8000,
            "slot_ports": [port, port + 1],
            "routes": [{"path": f"/{name}"}],
        }
        for name, port in (("console", 18001), ("web", 18011))
    ]
    own = {"apps": apps, "haproxy": {}}
    host = Inventory((["app-1", "db-1"], {}), apps=(["app-1"], own), override_data=data).get_host(
        "app-1"
    )
    return [(app.name, app.image) for app in apps_of(host)]


def given_images(**data: Any) -> tuple[str, ...]:
    """Return what a deploy file gets of images that were found before."""
    return pinned(Inventory((["app-1"], {}), override_data=data).get_host("app-1"))


def test_data_names_images_that_were_found_before_by_tag_and_digest() -> None:
    digest = f"sha256:{'a' * 64}"
    assert given_images() == ()
    both = (f"r.example:5000/console:1@{digest}", f"web:2@{digest}")
    assert given_images(pinned=",".join(both)) == both
    for wrong in ("console:1", f"console@{digest}", "Console!", both[0] + ","):
        with pytest.raises(SettingsError, match="images as 'r"):
            given_images(pinned=wrong)


@pytest.mark.parametrize(("typed", "meant"), [("tga", "tag"), ("ap", "app"), ("too", "to")])
def test_a_name_of_data_that_is_nearly_one_of_ours_is_refused(typed: str, meant: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"{typed}: is not known, did you mean --data {meant}="
    ):
        given_apps(**{typed: "console"})
    # Those of other deploy files, and of settings, are none of ours.
    assert len(given_apps(target="x", version="2", apps_of="y", uv={"version": "0.13.8"})) == 2


def test_data_chooses_one_application_and_another_tag_of_its_image() -> None:
    both = [("console", "r.example:5000/console:2.0.0-uv"), ("web", "r.example:5000/web:2.0.0-uv")]
    assert given_apps() == both
    assert given_apps(app="web") == both[1:]
    tag = given_apps(app="console", tag="1.4.0-poetry")
    assert tag == [("console", "r.example:5000/console:1.4.0-poetry")]
    digest = f"sha256:{'a' * 64}"
    assert given_apps(app="console", tag=digest) == [
        ("console", f"r.example:5000/console@{digest}")
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"app": "consol"}, "did you mean 'console'"),
        ({"tag": "1.4.0-poetry"}, "app: is needed: --data app="),
        ({"app": "console", "tag": 1.1}, "quote it"),
        ({"app": "console", "tag": "r.example/console:1"}, "the tag of an image"),
    ],
)
def test_a_slip_in_what_data_chooses_is_named(data: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        given_apps(**data)


# The examples that come with the project


@pytest.mark.parametrize(
    "name",
    ["all", "apps", "builders", "console_apps", "console_builders", "lab", "services"],
)
def test_the_group_data_of_the_project_is_valid(name: str) -> None:
    values: dict[str, Any] = {}
    file = ROOT / f"group_data/{name}.py"
    exec(compile(file.read_text(), file, "exec"), values)  # noqa: S102 - as pyinfra does
    from_data({key: value for key, value in values.items() if key in BLOCKS})


@pytest.mark.parametrize("name", ["apps", "builders"])
def test_the_examples_in_comments_are_valid_when_the_comment_signs_are_taken_away(
    name: str,
) -> None:
    lines = (ROOT / f"group_data/{name}.py").read_text().splitlines()
    code = "\n".join(line.removeprefix("# ").removeprefix("#") for line in lines)
    values: dict[str, Any] = {}
    exec(code, values)  # noqa: S102
    settings = from_data({key: value for key, value in values.items() if key in BLOCKS})
    assert settings.clients is not None
    assert settings.clients.users
    assert (settings.packages is not None) is (name == "builders")


def test_only_the_first_host_ends_pyinfra_for_a_missing_secret_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pyinfra, "is_cli", True)
    monkeypatch.setattr(module, "_SAID", set())
    login = {"machine": "nexus.example.com", "login": "me", "password": secret("no/such")}
    clients = from_data({"clients": {"users": [{"user": "deploy", "netrc": [login]}]}}).clients
    assert clients
    with pytest.raises(SystemExit) as ended:
        with_secrets(clients)
    assert ended.value.code == Exit.USAGE
    # A second SystemExit, in another host's greenlet, would be printed with its traceback.
    with pytest.raises(MissingSecretError):
        with_secrets(clients)
    assert capsys.readouterr().err.count("secret 'no/such' was not found") == 1
