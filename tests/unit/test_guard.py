"""What pyinfra is refused before anything connects: with its exit code, in its own process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyinfra_forked
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyinfra.api import Inventory
from pyinfra_forked import Done

from uplift import authority
from uplift.guard import Call, check_file, check_settings, check_types, select
from uplift.guard.call import became_other, check_pairs
from uplift.spec.errors import SettingsError, UsageError
from uplift.spec.secret import lab_secret

ROOT = Path(__file__).parents[2]
PYINFRA = [sys.executable, "-P", "-m", "pyinfra"]


Pyinfra = Callable[..., Done]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project's own files; `app-1` is this machine, the rest does not exist."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "config.py", folder)
    shutil.copytree(ROOT / "group_data", folder / "group_data")
    (folder / "inventories").mkdir()
    (folder / "inventories/prod.py").write_text(
        'services = ["db-1.invalid"]\napps = ["@local", ("app-2.invalid", {"ssh_port": 2222})]\n'
    )
    (folder / "inventories/staging.py").write_text('apps = ["@local"]\n')
    (folder / "deploys").mkdir()
    # It prints what it was given and changes nothing.
    (folder / "deploys/show.py").write_text(
        "from pyinfra import host\nfrom uplift.settings import for_host\n"
        "print('SETTINGS', host.name, for_host(host).uv.version)\n"
    )
    return folder


def surroundings(tmp_path: Path, variables: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("UPLIFT_", "PYINFRA"))}
    return {**kept, "HOME": str(tmp_path), "PYINFRA_PROGRESS": "off", **variables}


@pytest.fixture
def pyinfra(project: Path, tmp_path: Path) -> Pyinfra:
    """Run pyinfra in the project, or elsewhere, without a terminal."""

    def run(*args: str, folder: Path = project, **variables: str) -> Done:
        return pyinfra_forked.run(args, folder, surroundings(tmp_path, variables), tmp_path)

    return run


def refused(done: Done) -> str:
    """Return why; a refusal comes before anything connects and without a traceback."""
    assert done.code == 64, done
    assert "Connecting" not in done.err
    assert "Traceback" not in done.err
    return done.err.partition("uplift: ")[2]


SHOW = "deploys/show.py"


def test_a_right_call_runs(project: Path, tmp_path: Path) -> None:
    # The one that loads everything itself, as a person's does.
    done = subprocess.run(
        [*PYINFRA, "inventories/prod.py", SHOW, "-y", "--limit", "@local"],
        cwd=project,
        env=surroundings(tmp_path, {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "SETTINGS @local 0.13.8\n")


def test_a_mistyped_inventory_is_refused_with_the_one_that_was_meant(pyinfra: Pyinfra) -> None:
    text = refused(pyinfra("prod", SHOW, "-y"))
    assert "prod: no hosts. Did you mean inventories/prod.py?" in text
    assert "inventories/staging.py" in text


def test_a_connector_that_pyinfra_does_not_know_is_refused(pyinfra: Pyinfra) -> None:
    assert "Invalid connector: docke" in refused(pyinfra("@docke/x", SHOW, "-y"))


def test_a_limit_that_matches_nothing_is_refused_also_for_facts(pyinfra: Pyinfra) -> None:
    done = pyinfra("inventories/prod.py", "fact", "server.Kernel", "--limit", "appz")
    assert "--limit 'appz' matches no host. Did you mean 'apps'?" in refused(done)


def test_a_run_that_would_wait_for_a_person_says_what_to_add(pyinfra: Pyinfra) -> None:
    text = refused(pyinfra("inventories/staging.py", SHOW))
    assert "Add -y to do it, or --dry" in text


def test_only_a_run_that_changes_something_and_was_not_confirmed_asks(tmp_path: Path) -> None:
    calls = {
        "inv.py d.py": True,
        "inv.py d.py -v": True,
        "inv.py d.py -y": False,
        "inv.py d.py --dry": False,
        "inv.py d.py --json": False,
        "inv.py d.py --debug-operations": False,
        "inv.py server.shell uptime": True,
        "inv.py exec -- uptime": False,
        "inv.py fact server.Kernel": False,
        "inv.py debug-inventory": False,
    }
    # In a process of its own: pyinfra's command line patches the one that loads it.
    code = (
        "import json, sys; from uplift.guard.call import parse;"
        "print(json.dumps([parse(line.split()).asks for line in sys.argv[1:]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *calls], capture_output=True, text=True, timeout=60
    )
    assert json.loads(done.stdout) == list(calls.values())


def test_bad_settings_are_refused_all_at_once_with_their_file(
    pyinfra: Pyinfra, project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "project"
    shutil.copytree(project, other)
    (other / "group_data/apps.py").write_text('docker = {"live_restor": True}\n_sudoo = True\n')
    (other / "group_data/prod.py").write_text('clints = {}\nuv = {"version": 0.13}\n')
    text = refused(pyinfra("inventories/prod.py", SHOW, "-y", folder=other))
    assert "group_data/apps.py: docker.live_restor: unknown key, did you mean 'live_restore'?" in (
        text
    )
    assert "group_data/apps.py: _sudoo: pyinfra knows no such name, did you mean '_sudo'?" in text
    assert "group_data/prod.py: clints: is no block of settings, did you mean 'clients'?" in text
    assert "group_data/prod.py: uv.version: write it as text" in text
    # Three hosts share them; each is said once.
    assert len(text.splitlines()) == 4


def test_authorities_that_are_not_on_this_machine_are_refused_with_their_key(
    pyinfra: Pyinfra, project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "project"
    shutil.copytree(project, other)
    (other / "group_data/apps.py").write_text(
        "from uplift.secrets import secret\n"
        'certificates = {"files": ["none.crt"], "own_ca": True}\n'
        'docker = {"registries": {"r.example.com": {"ca_file": "no.pem"}}}\n'
        'tls = {"names": ["n.example.com"], "certificate": "no.crt", "key_file": "no.key"}\n'
        'nexus = {"container": {"tls": tls}, "admin": {"password": secret("nexus/admin")}}\n'
        "del tls\n"
    )
    text = refused(pyinfra("inventories/prod.py", SHOW, "-y", folder=other))
    assert "group_data/apps.py: certificates.files[0]: none.crt: No such file" in text
    assert "docker.registries.r.example.com.ca_file: no.pem: No such file" in text
    for field, name in (("certificate", "no.crt"), ("key_file", "no.key")):
        assert f"nexus.container.tls.{field}: {name}: No such file" in text
    # A check makes no CA.
    assert not (other / authority.FILE).exists()


def test_bad_settings_of_hosts_that_are_not_selected_do_not_matter(
    pyinfra: Pyinfra, project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "project"
    shutil.copytree(project, other)
    (other / "group_data/services.py").write_text("docker = 3\n")
    assert pyinfra("inventories/prod.py", SHOW, "-y", "--limit", "@local", folder=other).code == 0


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("uv = {\n", "group_data/all.py, line 1: SyntaxError: '{' was never closed"),
        ("a = 1\nuv = b\n", "group_data/all.py, line 2: NameError: name 'b' is not defined"),
        (
            "from uplift.spec.errors import UsageError\nraise UsageError('run `uplift lab up`')\n",
            "run `uplift lab up`",
        ),
    ],
)
def test_group_data_that_cannot_be_loaded_is_named_with_its_line(
    pyinfra: Pyinfra, project: Path, tmp_path: Path, content: str, complaint: str
) -> None:
    other = tmp_path / "project"
    shutil.copytree(project, other)
    (other / "group_data/all.py").write_text(content)
    text = refused(pyinfra("inventories/prod.py", SHOW, "-y", folder=other))
    assert text.strip() == complaint


def test_data_that_became_a_number_is_refused_with_the_way_to_write_it(pyinfra: Pyinfra) -> None:
    done = pyinfra("inventories/prod.py", SHOW, "-y", "--data", "to=1.10")
    assert """write --data 'to="1.10"'""" in refused(done)


def test_another_folder_is_refused_before_the_first_change(
    pyinfra: Pyinfra, project: Path, tmp_path: Path
) -> None:
    done = pyinfra(
        str(project / "inventories/staging.py"), str(project / SHOW), "-y", folder=tmp_path
    )
    assert done.code == 64
    assert "has no folder group_data: pyinfra reads group data and config.py only where" in done.err
    assert "Traceback" not in done.err


def test_the_project_can_be_named_from_another_folder(
    pyinfra: Pyinfra, project: Path, tmp_path: Path
) -> None:
    call = ("--chdir", str(project), "inventories/staging.py", SHOW, "-y")
    assert pyinfra(*call, folder=tmp_path).code == 0


def test_looking_at_the_inventory_works_with_bad_settings_and_gives_pure_json(
    pyinfra: Pyinfra,
) -> None:
    done = pyinfra(
        *("inventories/prod.py", "debug-inventory", "--json"),
        *("--data", 'uv={"version": "x"}', "--limit", "apps"),
    )
    assert done.code == 0
    assert [host["name"] for host in json.loads(done.out)] == [
        *("db-1.invalid", "@local", "app-2.invalid"),
    ]


@pytest.mark.parametrize("words", [["exec", "--", "echo", "hi"], ["fact", "server.Kernel"]])
def test_commands_without_a_deploy_file_go_on_working(pyinfra: Pyinfra, words: list[str]) -> None:
    assert pyinfra("@local", *words).code == 0


def test_the_password_of_sudo_comes_from_its_secret_and_stays_out_of_host_data(
    pyinfra: Pyinfra, project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "project"
    shutil.copytree(project, other)
    (other / "group_data/prod.py").write_text('sudo_password = {"secret": "prod/sudo"}\n')
    (other / SHOW).write_text(
        "from pyinfra import config, host\nprint(config.SUDO_PASSWORD == 'planted-canary')\n"
    )
    call = ("inventories/prod.py", SHOW, "-y", "--limit", "@local")
    assert "secret 'prod/sudo' was not found" in refused(pyinfra(*call, folder=other))
    done = pyinfra(*call, folder=other, UPLIFT_SECRET_PROD_SUDO="planted-canary")
    assert (done.code, done.out) == (0, "True\n")
    printing = pyinfra(*call, "--debug-operations", folder=other, UPLIFT_SECRET_PROD_SUDO="canary")
    assert "would print the password of sudo" in refused(printing)
    shown = pyinfra(
        *("inventories/prod.py", "debug-inventory", "--json"),
        folder=other,
        UPLIFT_SECRET_PROD_SUDO="planted-canary",
    )
    assert "prod/sudo" in shown.out
    assert "planted-canary" not in shown.out + shown.err


def test_missing_secrets_end_the_run_before_the_first_change(
    pyinfra: Pyinfra, project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "project"
    shutil.copytree(project, other)
    login = {"machine": "nexus.example.com", "login": "me"}
    files = [{"user": user, "netrc": [login | {"password": {"secret": user}}]} for user in "ab"]
    (other / "group_data/prod.py").write_text(f"clients = {{'users': {files!r}}}\n")
    (other / "deploys/write.py").write_text(
        "from pyinfra import host\nfrom pyinfra.operations import server\n"
        "from uplift.settings import for_host, with_secrets\n"
        f"server.shell(name='before', commands=['touch {tmp_path}/touched'])\n"
        "with_secrets(for_host(host).clients)\n"
    )
    call = ("inventories/prod.py", "deploys/write.py", "-y", "--limit", "@local")
    done = pyinfra(*call, folder=other)
    assert done.code == 64
    assert "secret 'a' was not found" in done.err
    assert "secret 'b' was not found" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "touched").exists()
    assert pyinfra(*call, folder=other, UPLIFT_SECRET_A="x", UPLIFT_SECRET_B="y").code == 0
    assert (tmp_path / "touched").exists()


def test_another_pythons_pyinfra_is_told_so(project: Path, tmp_path: Path) -> None:
    blocked = "import sys; sys.modules['uplift'] = None; from pyinfra_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", blocked, "inventories/prod.py", SHOW, "-y"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 64
    assert "use .venv/bin/pyinfra" in done.stderr


# The parts, without pyinfra's command line


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("inventories/prd.py", "no inventory file inventories/prd.py in "),
        ("prod.py", "no inventory file prod.py in "),
        ("inventories/prod", "no inventory file inventories/prod in "),
        ("inventories", "inventories is a folder: name an inventory file"),
    ],
)
def test_a_file_that_is_no_inventory_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, typed: str, complaint: str
) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(UsageError) as caught:
        check_file(Call(typed, ("y.py",)))
    assert complaint in str(caught.value)
    assert "There are: inventories/prod.py, inventories/staging.py" in str(caught.value)


@pytest.mark.parametrize("typed", ["inventories/prod.py", "web.example.com", "@local", "a.py,b.py"])
def test_what_may_be_an_inventory_is_left_to_pyinfra(
    project: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.chdir(project)
    check_file(Call(typed, ("y.py",)))


def inventory(**data: Any) -> Inventory:
    hosts = ["app-1", "app-2", "db-1"]
    return Inventory((hosts, data), apps=(hosts[:2], {}), db=(hosts[2:], {}))


def names(limit: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> list[str]:
    found = inventory()
    call = Call("x", ("y.py",), limit=limit, exclude=exclude)
    return [host.name for host in select(list(found), found.groups, call)]


@pytest.mark.parametrize(
    ("limit", "exclude", "expected"),
    [
        ((), (), ["app-1", "app-2", "db-1"]),
        (("apps",), (), ["app-1", "app-2"]),
        (("*-1",), (), ["app-1", "db-1"]),
        (("db", "app-2"), (), ["app-2", "db-1"]),
        ((), ("app-*",), ["db-1"]),
        (("apps",), ("app-1",), ["app-2"]),
    ],
)
def test_hosts_are_selected_as_pyinfra_does(
    limit: tuple[str, ...], exclude: tuple[str, ...], expected: list[str]
) -> None:
    assert names(limit, exclude) == expected


@pytest.mark.parametrize(
    ("limit", "exclude", "complaint"),
    [
        (("app-1", "web"), (), "--limit 'web' matches no host"),
        (("apps,db",), (), "Give --limit once for each: --limit apps --limit db"),
        # A slip in --exclude would touch the very hosts that were to be left out.
        ((), ("app",), "--exclude 'app' matches no host. Did you mean 'apps'?"),
        (("db",), ("db-1",), "--exclude leaves no host"),
    ],
)
def test_a_pattern_without_a_host_is_refused(
    limit: tuple[str, ...], exclude: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        names(limit, exclude)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "value", "wants_text", "other"),
    [
        ("1.10", 1.1, False, True),
        ("007", 7, False, True),
        ("1_000", 1000, False, True),
        ("3", 3, False, False),
        ("20251024", 20251024, False, False),
        ("20251024", 20251024, True, True),
        ("true", True, False, False),
        ("true", True, True, True),
        ("abc", "abc", True, False),
        ('"1.10"', "1.10", True, False),
        ("[1]", [1], False, False),
        ("null", None, True, True),
    ],
)
def test_a_value_is_only_refused_where_it_became_another(
    typed: str, value: Any, wants_text: bool, other: bool
) -> None:
    assert became_other(typed, value, wants_text) is other


@given(number=st.integers())
def test_a_plain_whole_number_is_taken_as_it_is(number: int) -> None:
    assert not became_other(str(number), int(str(number)), wants_text=False)


def test_data_that_replaces_text_of_the_group_data_must_be_text() -> None:
    hosts = list(inventory(stage="5", count=5))
    check_types(hosts, Call("x", ("y.py",), data=("count=6",), overrides={"count": 6}))
    with pytest.raises(UsageError, match="stage=6 arrives as the int 6, not as text"):
        check_types(hosts, Call("x", ("y.py",), data=("stage=6",), overrides={"stage": 6}))


def test_data_without_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="write --data to=VALUE"):
        check_pairs(["a=b", "to"])


def test_secrets_that_are_made_up_are_for_the_lab_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = {"machine": "lab-1", "login": "me", "password": lab_secret("nexus/deployer")}
    data = {"clients": {"users": [{"user": "root", "netrc": [entry]}]}}
    call = Call("inventories/prod.py", ("y.py",))
    with pytest.raises(SettingsError, match="lab_secret") as caught:
        check_settings(Inventory((["a"], data), prod=(["a"], {})), call)
    assert caught.value.problems[0].path == "a: secret('nexus/deployer')"
    check_settings(Inventory((["a"], data), lab=(["a"], {})), call)


def test_an_ssh_setting_that_pyinfra_would_ignore_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="did you mean 'ssh_strict_host_key_checking'"):
        check_settings(inventory(ssh_strict_host_key_cheking="yes"), Call("x", ("y.py",)))


def test_an_interrupted_deploy_never_looks_like_a_finished_one(
    project: Path, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    deploy = tmp_path / "slow.py"
    deploy.write_text(
        "from pyinfra.operations import server\n"
        f"server.shell(name='Slow', commands=['touch {started}; sleep 30'])\n"
    )
    process = subprocess.Popen(
        [*PYINFRA, "inventories/prod.py", str(deploy), "-y", "--limit", "@local"],
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not started.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert started.exists()
    assert process.returncode == 130
    assert "uplift: interrupted" in err
