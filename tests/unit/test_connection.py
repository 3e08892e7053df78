"""Talking to hosts outside pyinfra's own runs: in parallel, bounded, and never silently lost."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import paramiko
import pytest
from ssh_double import SshDouble, ssh_server

from uplift.remote.connection import Connection
from uplift.remote.fleet import Fleet
from uplift.remote.inventory import InventoryHost
from uplift.remote.unreachable import Reason, StepTimeout, Unreachable
from uplift.spec.errors import UsageError


def host(server: SshDouble, name: str = "box", **data: object) -> InventoryHost:
    return InventoryHost(name, (), {**server.data, **data})


def reason(target: InventoryHost, limit: float = 2) -> Reason:
    """Connect in vain and return why."""
    connection = Connection(target, connect_limit=limit)
    with pytest.raises(Unreachable) as caught:
        connection.connect()
    connection.close()
    assert target.name in str(caught.value)
    return caught.value.reason


def sudo_that(folder: Path, says: str) -> str:
    """Put a sudo into a folder and return a PATH that finds it first."""
    folder.mkdir()
    (folder / "sudo").write_text(f"#!/bin/sh\n{says}\n")
    (folder / "sudo").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@contextmanager
def connected(folder: Path, path: str, **data: object) -> Iterator[Connection]:
    """One host whose commands find their programs in ``path``."""
    with ssh_server(folder, path=path) as server, Fleet([host(server, **data)]) as fleet:
        yield fleet.connections["box"]


def test_a_command_returns_its_exit_code_and_both_outputs(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as server, Fleet([host(server)]) as fleet:
        result = fleet.connections["box"].run('printf "a\\n\\nb"; echo "$1" >&2; exit 7', "it's")
        assert (result.rc, result.stdout, result.stderr) == (7, "a\n\nb", "it's")
        assert result.sent <= result.received


def test_input_reaches_the_command_and_is_not_in_its_arguments(tmp_path: Path) -> None:
    word = secrets.token_hex(8)
    with ssh_server(tmp_path) as server, Fleet([host(server)]) as fleet:
        assert fleet.connections["box"].run("cat", stdin=word).stdout == word + "\n"
        assert server.commands != []
        assert all(word not in command for command in server.commands)


def test_one_login_serves_many_commands(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as server, Fleet([host(server)]) as fleet:
        for _ in range(3):
            fleet.each(lambda connection: connection.run("true"))
        assert server.logins == 1


def test_hosts_are_served_at_the_same_time(tmp_path: Path) -> None:
    # Each waits until it sees the others: one after another, all of them would time out.
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    wait = (
        'touch "$1/$2"; i=0; until [ "$(ls "$1" | wc -l)" -ge 4 ]; do '
        "i=$((i+1)); [ $i -lt 200 ] || exit 1; sleep 0.05; done"
    )
    with ExitStack() as stack:
        servers = [stack.enter_context(ssh_server(tmp_path / str(i))) for i in range(4)]
        fleet = stack.enter_context(Fleet(host(s, f"h{i}") for i, s in enumerate(servers)))
        results = fleet.each(lambda c: c.run(wait, str(meeting), c.name).rc)
    assert results == {"h0": 0, "h1": 0, "h2": 0, "h3": 0}


def test_sudo_of_the_inventory_is_used_unless_it_is_switched_off(tmp_path: Path) -> None:
    become = 'while [ "$1" != sh ]; do shift; done; export AS=root; exec "$@"'
    path = sudo_that(tmp_path / "bin", become)
    with connected(tmp_path / "s", path, _sudo=True) as box:
        assert box.has_sudo
        assert box.run('echo "$AS"').stdout == "root\n"
        assert box.run('echo "$AS"', sudo=False).stdout == "\n"


def test_sudo_that_wants_a_password_is_an_exit_code_and_never_a_question(tmp_path: Path) -> None:
    path = sudo_that(tmp_path / "bin", 'echo "sudo: a password is required" >&2; exit 1')
    with connected(tmp_path / "s", path, _sudo=True) as box:
        result = box.run("true")
    assert (result.rc, result.stderr) == (1, "sudo: a password is required")


def sudo_that_reads(folder: Path, needs: bool = True) -> str:
    """Put a sudo into a folder that takes a line for the password if it needs one; see ``seen``."""
    # One line, byte by byte, as the real one: the rest is the command's.
    read = f'IFS= read -r line; printf %s "$line" > {folder}/seen'
    become = 'while [ "$1" != sh ]; do shift; done; exec "$@"'
    return sudo_that(folder, f'echo "$*" > {folder}/argv\n{read if needs else ":"}\n{become}')


@pytest.mark.parametrize("more", [{}, {"_shell_executable": None}, {"_env": {"A": "b"}}])
def test_a_sudo_password_is_read_by_sudo_and_stands_in_no_command_line(
    tmp_path: Path, more: dict[str, object]
) -> None:
    word = secrets.token_hex(8)
    path = sudo_that_reads(tmp_path / "bin")
    data = {"_sudo": True, "_sudo_password": word, **more}
    with ssh_server(tmp_path / "s", path=path) as server, Fleet([host(server, **data)]) as fleet:
        box = fleet.connections["box"]
        result = box.run('cat; echo "$1" >&2; exit 7', "it's", stdin="from\nhere")
        assert (result.rc, result.stdout, result.stderr) == (7, "from\nhere\n", "it's")
        assert (tmp_path / "bin/seen").read_text() == word
        assert server.commands != []
        assert all(word not in command for command in server.commands)
    assert word not in (tmp_path / "bin/argv").read_text()


def test_a_sudo_that_needs_no_password_leaves_it_to_nobody(tmp_path: Path) -> None:
    path = sudo_that_reads(tmp_path / "bin", needs=False)
    word = secrets.token_hex(8)
    with connected(tmp_path / "s", path, _sudo=True, _sudo_password=word) as box:
        assert box.run("cat", stdin="mine").stdout == "mine\n"
        assert box.run("cat; set").stdout.count(word) == 0
        # Without sudo nobody is there to take the password: it is not sent.
        assert box.run("cat", sudo=False).stdout == ""


def test_sudo_with_a_password_becomes_the_user_that_the_inventory_says(tmp_path: Path) -> None:
    path = sudo_that_reads(tmp_path / "bin")
    who = {"_sudo_user": "app", "_use_sudo_login": True, "_preserve_sudo_env": True}
    with connected(tmp_path / "s", path, _sudo=True, _sudo_password="x", **who) as box:
        assert box.run("true").rc == 0
    argv = (tmp_path / "bin/argv").read_text()
    assert argv.startswith("-H -k -S -p  -i -E -u app sh -c ")


def test_a_step_that_takes_too_long_is_cut_and_names_its_host(tmp_path: Path) -> None:
    step = {"slow": "sleep 20", "quick": "echo done"}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(ssh_server(tmp_path / name)) for name in step}
        fleet = stack.enter_context(Fleet(host(s, name) for name, s in servers.items()))
        results = fleet.each(lambda c: c.run(step[c.name], time_limit=1))
    assert isinstance(results["slow"], StepTimeout)
    assert "slow: the step took longer than 1 s" in str(results["slow"])
    assert results["quick"].stdout == "done\n"  # type: ignore[union-attr]


def test_a_lost_connection_is_no_result(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as server, Fleet([host(server)]) as fleet:
        server.close()
        (outcome,) = fleet.each(lambda connection: connection.run("true")).values()
    assert isinstance(outcome, Unreachable)
    assert outcome.reason is Reason.LOST


def test_an_account_without_a_shell_is_told_apart(tmp_path: Path) -> None:
    with ssh_server(tmp_path, shell=None) as server, Fleet([host(server)]) as fleet:
        (outcome,) = fleet.each(lambda connection: connection.run("true")).values()
    assert isinstance(outcome, Unreachable)
    assert outcome.reason is Reason.SHELL
    assert "currently not available" in outcome.detail


def test_a_name_that_does_not_resolve_is_told_apart() -> None:
    assert reason(InventoryHost("no-such-host.invalid")) is Reason.RESOLVE


def test_a_port_where_nothing_listens_is_told_apart(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as server:
        target = host(server)
    assert reason(target) is Reason.REFUSED


def test_a_server_that_accepts_and_says_nothing_is_told_apart(tmp_path: Path) -> None:
    with ssh_server(tmp_path, greets=False) as server:
        assert reason(host(server), limit=1) is Reason.BANNER


def test_an_address_that_swallows_packets_is_told_apart() -> None:
    # A listener whose queue is full answers no more, as a firewall that drops.
    with socket.socket() as listener, ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            knock = stack.enter_context(socket.socket())
            knock.setblocking(False)
            knock.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        data = {"ssh_port": port, "ssh_config_file": "/dev/null"}
        assert reason(InventoryHost("127.0.0.1", (), data), limit=1) is Reason.TIMEOUT


def test_an_unknown_host_key_is_refused_and_not_learned(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as server:
        server.know(None)
        target = host(server, ssh_strict_host_key_checking="accept-new")
        assert reason(target) is Reason.HOST_KEY_UNKNOWN
        assert server.known_hosts.read_text() == ""
        assert server.logins == 0


def test_a_changed_host_key_is_told_apart_from_an_unknown_one(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as server:
        server.know(paramiko.ECDSAKey.generate())
        assert reason(host(server)) is Reason.HOST_KEY_CHANGED
        assert server.logins == 0


def test_a_refused_login_is_told_apart(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as server:
        paramiko.ECDSAKey.generate().write_private_key_file(str(server.key_file))
        assert reason(host(server)) is Reason.AUTHENTICATION


def test_a_missing_key_file_is_told_apart(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as server:
        assert reason(host(server, ssh_key=str(tmp_path / "absent"))) is Reason.KEY_FILE


def test_one_unreachable_host_does_not_keep_the_others(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as server:
        gone = InventoryHost("gone.invalid")
        with Fleet([gone, host(server)], connect_limit=2) as fleet:
            results = fleet.each(lambda connection: connection.run("true").rc)
    assert results == {"box": 0}
    assert list(fleet.unreachable) == ["gone.invalid"]


def bastion_config(folder: Path, bastion: SshDouble) -> str:
    """An OpenSSH configuration in which the way to 127.0.0.1 leads through a bastion."""
    file = folder / "ssh_config"
    file.write_text(
        "Host inner\n  HostName 127.0.0.1\n  ProxyJump bastion\n"
        f"Host bastion\n  HostName 127.0.0.1\n  Port {bastion.port}\n  User tester\n"
        f"  IdentityFile {bastion.key_file}\n  UserKnownHostsFile {bastion.known_hosts}\n"
    )
    return str(file)


def test_a_bastion_of_the_ssh_configuration_is_used(tmp_path: Path) -> None:
    with ssh_server(tmp_path / "b") as bastion, ssh_server(tmp_path / "s") as server:
        way = {"ssh_hostname": "inner", "ssh_config_file": bastion_config(tmp_path, bastion)}
        with Fleet([host(server, **way)]) as fleet:
            assert fleet.unreachable == {}
            assert fleet.connections["box"].run("echo there").stdout == "there\n"
        assert (bastion.logins, server.logins) == (1, 1)


def test_a_bastion_that_nobody_knows_is_refused_without_a_question(tmp_path: Path) -> None:
    with ssh_server(tmp_path / "b") as bastion, ssh_server(tmp_path / "s") as server:
        bastion.know(None)
        way = {"ssh_hostname": "inner", "ssh_config_file": bastion_config(tmp_path, bastion)}
        assert reason(host(server, **way)) is Reason.HOST_KEY_UNKNOWN
        assert (bastion.logins, server.logins) == (0, 0)


def test_connection_data_of_a_wrong_type_name_the_host_and_the_key() -> None:
    with pytest.raises(UsageError, match=r"box.*ssh_port"):
        Connection(InventoryHost("box", (), {"ssh_port": "twenty-two"}))


def test_a_defect_in_a_step_is_raised_and_not_taken_for_a_hosts_trouble(tmp_path: Path) -> None:
    with (
        ssh_server(tmp_path) as server,
        Fleet([host(server)]) as fleet,
        pytest.raises(ZeroDivisionError),
    ):
        fleet.each(lambda connection: 1 / 0)


def test_the_controller_itself_can_be_a_host() -> None:
    with Fleet([InventoryHost("@local")]) as fleet:
        results = fleet.each(lambda connection: connection.run("echo here; exit 3"))
    assert (results["@local"].rc, results["@local"].stdout) == (3, "here\n")  # type: ignore[union-attr]


def test_a_step_on_the_controller_has_a_time_limit_too() -> None:
    with Fleet([InventoryHost("@local")]) as fleet:
        (outcome,) = fleet.each(lambda c: c.run("sleep 20", time_limit=1)).values()
    assert isinstance(outcome, StepTimeout)
