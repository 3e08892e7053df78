"""What keeps a first run from working is found, told apart and has a remedy."""

from __future__ import annotations

import dataclasses
import json
import runpy
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import paramiko
import pytest
from ssh_double import SshDouble, ssh_server

from uplift.cli.main import run
from uplift.doctor import checks, diagnosis, probe, reach
from uplift.doctor.report import CHECKS, Finding, HostReport, Report, Status, failed, ok, warning
from uplift.remote import inventory
from uplift.remote.connection import Result
from uplift.remote.destination import Destination
from uplift.remote.inventory import InventoryHost
from uplift.remote.unreachable import Reason, Unreachable
from uplift.spec.errors import Exit

TO = Destination("box.example.com", 2222, "deploy", "~/.ssh/id", "known", None)
HOSTS = inventory.hosts
BECOME = 'while [ "$1" != sh ]; do shift; done; exec "$@"'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshDouble]:
    """A host whose programs a test can replace."""
    (tmp_path / "bin").mkdir()
    with ssh_server(tmp_path / "host", path=f"{tmp_path}/bin:/usr/bin:/bin") as server:
        program(tmp_path, "id", "case $1 in -u) echo 0;; -un) echo deploy;; esac")
        program(tmp_path, "sudo", BECOME)
        program(tmp_path, "docker", 'case $1 in version) echo 26.1.5;; *) echo "Docker";; esac')
        program(tmp_path, "df", "echo head; echo disk 9 9 90000000 1% /")
        yield server


@pytest.fixture
def project(tmp_path: Path, server: SshDouble, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with one inventory of that one host."""
    folder = tmp_path / "project"
    (folder / "inventories").mkdir(parents=True)
    (folder / "group_data").mkdir()
    (folder / "config.py").touch()
    data = {**server.data, "_sudo": True}
    (folder / "inventories/prod.py").write_text(f"apps = [('box', {data!r})]\n")
    (folder / "group_data/all.py").write_text('uv = {"version": "0.13.8"}\n')
    monkeypatch.chdir(folder)
    monkeypatch.setattr(inventory, "hosts", read)
    return folder


def read(file: str, limit: Sequence[str] = ()) -> list[InventoryHost]:
    """Read the inventory without starting pyinfra, which takes a second."""
    data = {k: v for k, v in runpy.run_path("group_data/all.py").items() if k[:2] != "__"}
    groups = {k: v for k, v in runpy.run_path(file).items() if isinstance(v, list)}
    pairs = [(it, group) for group, members in groups.items() for it in members]
    found = [(it if isinstance(it, tuple) else (it, {}), group) for it, group in pairs]
    return [InventoryHost(name, (group,), {**data, **own}) for (name, own), group in found]


@pytest.fixture
def real(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same project, its inventory read by pyinfra."""
    monkeypatch.setattr(inventory, "hosts", HOSTS)
    return project


def program(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / "bin" / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def examine(*limit: str) -> Report:
    return diagnosis.diagnose("inventories/prod.py", limit, connect_limit=3)


def on_host(report: Report) -> dict[str, Finding]:
    (host,) = report.hosts
    return {finding.check: finding for finding in host.findings}


def on_controller(report: Report) -> dict[str, Finding]:
    return {finding.check: finding for finding in report.controller}


def test_a_host_in_order_passes_every_check_that_does_not_depend_on_its_system(
    project: Path,
) -> None:
    found = on_host(examine())
    assert list(found) == list(CHECKS)
    wrong = {check for check, finding in found.items() if finding.status is Status.FAILED}
    assert wrong == set()
    assert found["docker"].text == "Engine 26.1.5"
    assert found["sudo"].text == "deploy becomes root"
    assert found["clock"].status is Status.OK


def test_one_remote_command_looks_at_everything(project: Path, server: SshDouble) -> None:
    examine()
    assert len(server.commands) == 1


@pytest.mark.parametrize(
    ("sudo", "text", "remedy"),
    [
        ("sudo: a password is required", "asks deploy for a password", "NOPASSWD"),
        ("sudo: sorry, you must have a tty to run sudo", "requiretty", "_get_pty"),
        ("deploy is not in the sudoers file.", "may not use sudo", "/etc/sudoers.d/deploy"),
        ("Sorry, user deploy is not allowed to execute 'sh'", "does not allow", "visudo"),
        ("sudo: 1 incorrect password attempt", "refused the password", "sudo_password"),
        ("sh: 1: sudo: not found", "there is no sudo", "apt-get install sudo"),
        ("sudo: something new", "it said: sudo: something new", "sudo -n true"),
    ],
)
def test_each_way_in_which_sudo_fails_has_its_remedy(
    project: Path, tmp_path: Path, sudo: str, text: str, remedy: str
) -> None:
    program(tmp_path, "sudo", f'echo "{sudo}" >&2; exit 1')
    report = examine()
    found = on_host(report)
    assert found["sudo"].status is Status.FAILED
    assert text in found["sudo"].text
    assert remedy in str(found["sudo"].remedy)
    assert found["docker"].status is Status.SKIPPED
    assert report.exit_code is Exit.FAILED


@pytest.mark.parametrize(("settings", "status"), [("", "failed"), ("_temp_dir = '/srv'", "ok")])
def test_a_folder_without_programs_is_told_where_pyinfra_hands_over_a_password(
    real: Path, tmp_path: Path, server: SshDouble, settings: str, status: str
) -> None:
    mounts = "for last; do :; done; case $last in /tmp) echo rw,noexec,nosuid;; *) echo rw;; esac"
    program(tmp_path, "findmnt", mounts)
    assert on_host(examine())["sudo"].status is Status.OK
    text = (real / "inventories/prod.py").read_text()
    word = secrets.token_hex(8)
    with_password = f"'_sudo': True, '_sudo_password': {word!r}"
    (real / "inventories/prod.py").write_text(text.replace("'_sudo': True", with_password))
    (real / "group_data/all.py").write_text(f"{settings}\n")
    found = on_host(examine())["sudo"]
    assert found.status == status, found
    assert ("noexec" in str(found.remedy)) == (status == "failed")
    assert server.commands != []
    assert all(word not in command for command in server.commands)


def test_a_user_who_is_not_root_without_sudo_in_the_inventory_is_told_the_setting(
    project: Path, server: SshDouble, tmp_path: Path
) -> None:
    program(tmp_path, "id", "case $1 in -u) echo 1000;; -un) echo deploy;; esac")
    (project / "inventories/prod.py").write_text(f"apps = [('box', {server.data!r})]\n")
    assert '"_sudo": True' in str(on_host(examine())["sudo"].remedy)


def test_docker_that_does_not_answer_is_told_from_docker_that_is_not_there(
    project: Path, tmp_path: Path
) -> None:
    program(tmp_path, "docker", 'echo "Cannot connect to the Docker daemon"; exit 1')
    found = on_host(examine())["docker"]
    assert found.status is Status.FAILED
    assert "Cannot connect" in found.text
    assert "reset-failed" in str(found.remedy)


def test_a_full_disk_is_wrong_and_a_tight_one_a_warning(project: Path, tmp_path: Path) -> None:
    program(tmp_path, "df", "echo head; echo disk 9 9 90000 99% /")
    assert on_host(examine())["disk"].status is Status.FAILED
    program(tmp_path, "df", "echo head; echo disk 9 9 2000000 90% /")
    report = examine()
    assert on_host(report)["disk"].status is Status.WARNING
    assert all(it.status is not Status.FAILED for it in on_host(report).values())


def test_a_disk_that_is_mounted_read_only_is_wrong_and_one_that_only_root_writes_to_is_not(
    project: Path, tmp_path: Path
) -> None:
    program(tmp_path, "findmnt", "echo rw,relatime")
    assert on_host(examine())["disk"].status is Status.OK
    program(tmp_path, "findmnt", "echo ro,relatime,errors=remount-ro")
    found = on_host(examine())["disk"]
    assert found.status is Status.FAILED
    assert "/var/lib/docker is read-only" in found.text


def test_a_clock_that_is_off_is_a_warning_that_says_by_how_much(
    project: Path, tmp_path: Path
) -> None:
    program(tmp_path, "date", 'exec /usr/bin/date -d "-600 seconds" "$@"')
    found = on_host(examine())["clock"]
    assert found.status is Status.WARNING
    assert "600 s behind" in found.text


def test_an_unknown_host_key_is_neither_learned_nor_passed_by(
    project: Path, server: SshDouble
) -> None:
    server.know(None)
    report = examine()
    found = on_host(report)
    assert found["connect"].status is Status.OK
    assert found["host key"].status is Status.FAILED
    remedy = str(found["host key"].remedy)
    assert f"ssh-keyscan -t ed25519 -p {server.port} 127.0.0.1" in remedy
    assert "fingerprint" in remedy
    assert str(server.known_hosts) in remedy
    assert server.known_hosts.read_text() == ""
    assert report.exit_code is Exit.HELD


def test_a_changed_host_key_gets_the_command_that_removes_the_old_one(
    project: Path, server: SshDouble
) -> None:
    server.know(paramiko.ECDSAKey.generate())
    found = on_host(examine())["host key"]
    assert found.status is Status.FAILED
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in str(found.remedy)


def test_the_key_of_an_unknown_bastion_is_asked_for_under_its_own_name() -> None:
    detail = "AskPolicy: No host key for [bastion.example.com]:2022 found in known_hosts"
    behind = dataclasses.replace(TO, bastion="bastion.example.com")
    found = reach.findings(Unreachable("box", Reason.HOST_KEY_UNKNOWN, detail), behind)
    remedy = next(str(it.remedy) for it in found if it.check == "host key")
    assert "ssh-keyscan -t ed25519 -p 2022 bastion.example.com" in remedy


def test_a_login_without_a_shell_was_reached_all_the_same(project: Path, server: SshDouble) -> None:
    server.shell = None
    report = examine()
    assert on_host(report)["login"].status is Status.OK
    assert "chsh" in str(on_host(report)["shell"].remedy)
    assert report.exit_code is Exit.FAILED


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_remedy_of_its_own_without_gaps(reason: Reason) -> None:
    text = reach.remedy(reason, TO)
    others = [reach.remedy(other, TO) for other in Reason if other is not reason]
    assert text not in others
    assert "{" not in text.replace('{"ssh_hostname"', "")


def test_a_secret_that_is_missing_is_named_with_the_command_that_sets_it(project: Path) -> None:
    netrc = '[{"machine": "m.example.com", "login": "x", "password": {"secret": "nexus/x"}}]'
    (project / "group_data/all.py").write_text(
        f'clients = {{"users": [{{"user": "deploy", "netrc": {netrc}}}]}}\n'
    )
    report = examine()
    found = on_controller(report)["secrets"]
    assert found.status is Status.FAILED
    assert "uplift secrets set nexus/x" in str(found.remedy)
    assert report.exit_code is Exit.FAILED


def test_a_secret_that_is_there_is_never_shown(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    word = secrets.token_hex(12)
    password = secrets.token_hex(12)
    text = (project / "inventories/prod.py").read_text()
    (project / "inventories/prod.py").write_text(
        text.replace("'_sudo': True", f"'_sudo': True, '_sudo_password': {password!r}")
    )
    netrc = '[{"machine": "m.example.com", "login": "x", "password": {"secret": "nexus/x"}}]'
    (project / "group_data/all.py").write_text(
        f'clients = {{"users": [{{"user": "deploy", "netrc": {netrc}}}]}}\n'
    )
    monkeypatch.setenv("UPLIFT_SECRET_NEXUS_X", word)
    for arguments in (
        ["doctor", "inventories/prod.py"],
        ["doctor", "inventories/prod.py", "--json"],
    ):
        run(arguments)
        out, err = capsys.readouterr()
        assert "1 found" in out
        assert word not in out + err
        assert password not in out + err


def test_wrong_settings_are_listed_with_host_and_key(project: Path) -> None:
    (project / "group_data/all.py").write_text('uv = {"verson": "0.13.8"}\n')
    found = on_controller(examine())["settings"]
    assert found.status is Status.FAILED
    assert "uv.verson" in str(found.remedy)
    assert "'version'" in str(found.remedy)


def test_wrong_settings_are_usage_and_said_once_with_their_file(
    project: Path, server: SshDouble
) -> None:
    (project / "group_data/all.py").write_text('uv = {"verson": "0.13.8"}\n')
    data = {**server.data, "_sudo": True}
    hosts = [("box", data), ("box-2", data), ("box-3", {**data, "docker": 7})]
    (project / "inventories/prod.py").write_text(f"apps = {hosts!r}\n")
    report = examine()
    assert report.exit_code is Exit.USAGE
    lines = str(on_controller(report)["settings"].remedy).splitlines()
    assert sum(line.startswith("group_data/all.py: uv.verson: ") for line in lines) == 1
    assert any(line.startswith("inventories/prod.py: docker: ") for line in lines)
    assert [line for line in lines if line.endswith("(box-3)")] == lines[-1:]


def test_data_of_a_host_may_stand_in_either_file(project: Path, server: SshDouble) -> None:
    data = {**server.data, "_sudo": True, "uv": {"verson": "0.13.8"}}
    (project / "inventories/prod.py").write_text(f"apps = [('box', {data!r})]\n")
    remedy = str(on_controller(examine())["settings"].remedy)
    assert "group_data/all.py or inventories/prod.py: uv.verson" in remedy


def test_group_data_of_a_group_outside_the_limit_is_no_trouble(
    project: Path, server: SshDouble
) -> None:
    (project / "group_data/services.py").write_text('uv = {"version": "0.13.8"}\n')
    hosts = [("box", {**server.data, "_sudo": True})]
    text = f"apps = {hosts!r}\nservices = ['box-2']\n"
    (project / "inventories/prod.py").write_text(text)
    report = examine("box")
    assert [host.name for host in report.hosts] == ["box"]
    assert "group data" not in on_controller(report)


def test_group_data_of_another_inventorys_group_is_no_trouble(project: Path) -> None:
    (project / "group_data/boxes.py").write_text('uv = {"version": "0.13.8"}\n')
    (project / "inventories/other.py").write_text("boxes = []\n")
    assert "group data" not in on_controller(examine())


def test_group_data_that_no_group_is_named_after_is_pointed_out(project: Path) -> None:
    (project / "group_data/uv.py").write_text('uv = {"version": "0.13.8"}\n')
    found = on_controller(examine())["group data"]
    assert found.status is Status.WARNING
    assert "uv.py" in found.text


def test_another_folder_is_pointed_out(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(real.parent)
    report = diagnosis.diagnose("project/inventories/prod.py", connect_limit=3)
    assert on_controller(report)["folder"].status is Status.WARNING


def test_connection_data_that_pyinfra_refuses_are_named(real: Path, server: SshDouble) -> None:
    data = {**server.data, "ssh_port": "22"}
    (real / "inventories/prod.py").write_text(f"apps = [('box', {data!r})]\n")
    report = examine()
    assert "ssh_port" in str(on_controller(report)["inventory"].remedy)
    assert report.exit_code is Exit.USAGE


def test_data_of_a_wrong_type_are_a_finding_of_that_host(project: Path, server: SshDouble) -> None:
    data = {**server.data, "ssh_port": "22"}
    (project / "inventories/prod.py").write_text(f"apps = [('box', {data!r})]\n")
    found = on_host(examine())["connect"]
    assert found.status is Status.FAILED
    assert "ssh_port" in found.text


def test_an_inventory_that_cannot_be_loaded_is_usage_and_still_shows_the_controller(
    real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "inventories/prd.py"]) == Exit.USAGE
    out = capsys.readouterr().out
    assert "inventories/prod.py" in out
    assert "python" in out


def test_a_limit_that_selects_nothing_is_usage(real: Path) -> None:
    assert examine("nope").exit_code is Exit.USAGE


def test_the_json_names_each_check_status_text_and_remedy(
    project: Path, server: SshDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    server.know(None)
    assert run(["doctor", "inventories/prod.py", "--json"]) == Exit.HELD
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 3
    (host,) = document["hosts"]
    assert (host["name"], host["reached"]) == ("box", False)
    key = next(it for it in host["findings"] if it["check"] == "host key")
    assert key["status"] == "failed"
    assert key["kind"] == "host key unknown"


def test_the_same_trouble_of_many_hosts_is_explained_once(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = [f"gone-{number}.invalid" for number in range(12)]
    (project / "inventories/prod.py").write_text(f"apps = {hosts!r}\n")
    assert run(["doctor", "inventories/prod.py"]) == Exit.HELD
    out = capsys.readouterr().out
    assert out.count("No address for") == 1
    assert "and 3 more" in out
    assert all(host in out for host in hosts)


def test_warnings_alone_do_not_fail() -> None:
    host = HostReport("box", True, (warning("clock", "off", "set it"),))
    assert Report("i", (ok("python", "3"),), (host,)).exit_code is Exit.DONE


def test_a_failure_of_the_controller_fails() -> None:
    host = HostReport("box", True, (ok("clock", "0 s apart"),))
    assert Report("i", (failed("secrets", "a", "b"),), (host,)).exit_code is Exit.FAILED


@pytest.mark.parametrize(
    ("kernel", "system", "status"),
    [
        ("Linux", ("debian", "13"), Status.OK),
        ("Linux", ("debian", "12"), Status.OK),
        ("Linux", ("ubuntu", "24.04"), Status.WARNING),
        ("FreeBSD", ("", ""), Status.FAILED),
    ],
)
def test_systems_are_supported_tolerated_or_refused(
    kernel: str, system: tuple[str, str], status: Status
) -> None:
    values = {"kernel": kernel, "machine": "x86_64", "id": system[0], "version": system[1]}
    assert checks.system(values).status is status


def test_a_host_without_docker_is_fine_where_it_can_be_installed_or_is_not_wanted() -> None:
    debian = {"id": "debian", "version": "13"}
    other = {"id": "arch", "version": ""}
    assert checks.docker(debian, managed=True).status is Status.OK
    assert checks.docker(other, managed=False).status is Status.OK
    assert checks.docker(other, managed=True).status is Status.FAILED


def test_half_of_the_round_trip_is_taken_off_the_difference_of_clocks() -> None:
    seen = probe.read(Result(0, "uplift.began=103.0\nuplift.ended=104.0\n", "", 100.0, 105.0))
    assert (seen.offset, seen.uncertainty) == (1.0, 2.0)


def test_a_clock_without_fractions_is_read_too() -> None:
    seen = probe.read(Result(0, "uplift.began=103.%N\nuplift.ended=103.\n", "", 100.0, 100.0))
    assert seen.offset == 3.0


def test_a_slow_way_is_not_taken_for_a_wrong_clock() -> None:
    seen = probe.read(Result(0, "uplift.began=112.0\nuplift.ended=112.0\n", "", 100.0, 112.0))
    assert checks.clock(seen).status is Status.OK


def test_what_is_printed_by_a_login_script_does_not_disturb(project: Path, tmp_path: Path) -> None:
    program(tmp_path, "uname", 'echo "noise=1" >&2; exec /usr/bin/uname "$@"')
    assert on_host(examine())["system"].status is not Status.FAILED
