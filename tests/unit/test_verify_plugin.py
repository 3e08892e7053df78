"""The plugin in runs of pytest of its own, with an ssh command that plays the hosts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asked_once
import pytest
import verify_double
from testinfra.host import Host
from verify_double import left_behind, ssh_calls

# Loaded here, so that runs inside this process have not to load it each time.
from uplift import settings  # noqa: F401
from uplift.remote import inventory
from uplift.verify import session  # noqa: F401

pytest_plugins = ["pytester"]


@pytest.fixture
def project(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.Pytester]:
    verify_double.make(pytester.path, monkeypatch)
    monkeypatch.setattr(inventory, "_ask_pyinfra", asked_once.ask)
    # What one run leaves to the next in a process that has several.
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(Host, "_host_cache", {})
    monkeypatch.setattr(Host, "_hosts_cache", {})
    pytester.makepyfile(test_uv="def test_it(host, data):\n    assert host.run('true').rc == 0\n")
    yield pytester
    verify_double.remove()


# Plugins that are only in the way cost a second each time.
UNUSED = ("cacheprovider", "hypothesispytest", "typeguard", "anyio")


def run(project: pytest.Pytester, *args: str) -> pytest.RunResult:
    """Run pytest inside this process, which has loaded already what it needs."""
    without = [f"-pno:{name}" for name in (*UNUSED, "xdist", "xdist.looponfail")]
    return project.runpytest_inprocess(*without, *args)


def run_alone(project: pytest.Pytester, *args: str) -> pytest.RunResult:
    """Run pytest in a process of its own, as a person does."""
    unused = (*UNUSED, *(() if "-n" in args else ("xdist",)))
    return project.runpytest_subprocess(*(f"-pno:{name}" for name in unused), *args, timeout=60)


def test_every_host_is_tested_under_its_name(project: pytest.Pytester) -> None:
    done = run_alone(project, "-v", "--inventory", "inventories/prod.py", "--limit", "web-1")
    done.stdout.fnmatch_lines(["*test_uv.py::test_it?web-1? PASSED*"])
    done.assert_outcomes(passed=1)


def test_a_host_that_is_down_is_one_error_and_the_rest_go_on(project: pytest.Pytester) -> None:
    project.makepyfile(test_docker="def test_a(host): pass\ndef test_b(host): pass\n")
    done = run(project, "--inventory", "inventories/prod.py")
    done.assert_outcomes(errors=1, passed=6, skipped=3)
    done.stdout.fnmatch_lines(["*web-2 could not be reached: ssh: connect to host*No route*"])
    assert done.ret == pytest.ExitCode.TESTS_FAILED


def test_a_host_that_is_down_is_asked_once(project: pytest.Pytester) -> None:
    run(project, "--inventory", "inventories/prod.py")
    assert len([call for call in ssh_calls(project.path) if "192.0.2.2" in call]) == 1


def test_workers_of_xdist_do_not_log_in_again(project: pytest.Pytester) -> None:
    done = run_alone(project, "--inventory", "inventories/prod.py", "-n", "2")
    done.assert_outcomes(errors=1, passed=2, skipped=1)
    logins = [call for call in ssh_calls(project.path) if call.endswith(" true")]
    # A login and one test on each of the hosts that are up, one try of the other.
    assert len(logins) == 5


def test_limit_and_markers_choose_hosts(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_uv="""
        import pytest

        @pytest.mark.hosts("builders")
        def test_by_group(host, data):
            assert data["colour"] == "blue"

        @pytest.mark.hosts("web-*")
        def test_by_name(host): pass
        """
    )
    done = run(project, "-v", "--strict-markers", "--inventory", "inventories/prod.py")
    done.stdout.fnmatch_lines(["*test_by_group?build-1?*PASS*", "*test_by_name?web-1?*PASS*"])
    done.assert_outcomes(passed=2, errors=1, skipped=1, deselected=3)


def test_a_marker_that_names_no_group_is_warned_of(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_uv="import pytest\n@pytest.mark.hosts('bilders')\ndef test_it(host): pass\n"
    )
    done = run(project, "--inventory", "inventories/prod.py", "--limit", "web-1")
    done.stdout.fnmatch_lines(["*hosts('bilders')*did you mean 'builders'?*"])


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--inventory", "inventories/prd.py"], "*no inventory file*Did you mean*prod.py*"),
        (["--inventory", "inventories/prod.py", "--limit", "x"], "*'x' selects no host*"),
        (["--inventory", "inventories/prod.py", "--hosts", "local://"], "*exclude each other*"),
        (["--limit", "web-1"], "*need --inventory FILE*"),
    ],
)
def test_wrong_usage_tests_nothing(project: pytest.Pytester, args: list[str], text: str) -> None:
    done = run(project, *args)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([text])
    assert ssh_calls(project.path) == []


def test_what_cannot_be_supported_is_refused_before_anything_connects(
    project: pytest.Pytester,
) -> None:
    project.path.joinpath("inventories/prod.py").write_text(
        'apps = ["web-1", ("web-2", {"ssh_password": "hunter2"}), "@local"]\n'
    )
    done = run(project, "--inventory", "inventories/prod.py")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*web-2: ssh_password:*", "*@local: the connector @local*"])
    assert "hunter2" not in done.stderr.str() + done.stdout.str()
    assert ssh_calls(project.path) == []


def test_without_an_inventory_this_machine_is_never_tested(project: pytest.Pytester) -> None:
    marker = project.path / "was-here"
    project.makepyfile(test_uv=f"def test_it(host, data): host.run('touch {marker}')\n")
    done = run_alone(project)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*not this machine: give --inventory*"])
    assert not marker.exists()


def test_collecting_connects_to_nothing(project: pytest.Pytester) -> None:
    done = run(project, "--collect-only", "-q", "--inventory", "inventories/prod.py")
    done.stdout.fnmatch_lines(["test_uv.py::test_it?web-2?"])
    assert ssh_calls(project.path) == []


# The control: while tests run, the folder is where the tests below look for it.
LEFT_BEHIND = """
import os, pathlib
def test_it(host):
    assert list(pathlib.Path(os.environ["TMPDIR"]).glob("uplift-*"))
"""


def test_nothing_is_left_behind(project: pytest.Pytester) -> None:
    project.makepyfile(test_uv=LEFT_BEHIND)
    run(project, "--inventory", "inventories/prod.py", "--limit", "web-1").assert_outcomes(passed=1)
    assert left_behind() == []


def test_nothing_is_left_behind_after_an_interruption(project: pytest.Pytester) -> None:
    project.makepyfile(test_uv=f"{LEFT_BEHIND}    raise KeyboardInterrupt\n")
    done = run_alone(project, "--inventory", "inventories/prod.py", "--limit", "web-1")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert left_behind() == []


def test_ctrl_c_while_logging_in_leaves_nothing_behind(project: pytest.Pytester) -> None:
    project.path.joinpath("inventories/prod.py").write_text('apps = ["192.0.2.4"]\n')
    words = [sys.executable, "-m", "pytest", "-pno:hypothesispytest", "-pno:cacheprovider"]
    process = subprocess.Popen(
        [*words, "--inventory", "inventories/prod.py"],
        cwd=project.path,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(300):
        if ssh_calls(project.path):
            break
        time.sleep(0.1)
    assert left_behind()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(timeout=30) == pytest.ExitCode.INTERRUPTED
    assert left_behind() == []


def test_the_results_of_each_host_are_written(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_docker="""
        import pytest

        def test_bad(host):
            assert host.backend.hostname == "web-1", "this is not web-1"

        def test_not_here(host):
            pytest.skip("no docker")
        """
    )
    run(project, "--inventory", "inventories/prod.py", "--verify-json", "out.json")
    document = json.loads((project.path / "out.json").read_text())
    hosts: dict[str, dict[str, Any]] = {host["name"]: host for host in document["hosts"]}
    assert hosts["web-1"]["subjects"]["docker"] == {"passed": 1, "failed": 0, "skipped": 1}
    assert hosts["build-1"]["subjects"]["uv"] == {"passed": 1, "failed": 0, "skipped": 0}
    (failure,) = hosts["build-1"]["failures"]
    assert failure["test"] == "test_bad[build-1]"
    assert "this is not web-1" in failure["message"]
    assert hosts["build-1"]["skips"][0]["reason"] == "no docker"
    assert not hosts["web-2"]["reachable"]
    assert hosts["web-2"]["subjects"] == {}


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_warning_is_in_the_results_once_and_fails_nothing(
    project: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    project.makepyfile(test_redis="def test_it(host, warn): warn('everybody can read this')\n")
    words = ("--inventory", "inventories/prod.py", "--limit", "web-1", *workers)
    done = (run_alone if workers else run)(project, *words, "--verify-json", "out.json")
    assert done.ret == pytest.ExitCode.OK
    (host,) = json.loads((project.path / "out.json").read_text())["hosts"]
    assert host["warnings"] == [
        {"subject": "redis", "test": "test_it[web-1]", "message": "everybody can read this"}
    ]


def test_a_test_that_fails_in_its_teardown_counts_once_and_as_failed(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        test_uv="""
        import pytest

        @pytest.fixture
        def bad():
            yield
            assert False, "left a mess"

        def test_it(host, bad): pass
        """
    )
    args = ("--limit", "web-1", "--verify-json", "out.json")
    run(project, "--inventory", "inventories/prod.py", *args)
    (host,) = json.loads((project.path / "out.json").read_text())["hosts"]
    assert host["subjects"]["uv"] == {"passed": 0, "failed": 1, "skipped": 0}


def test_a_command_gets_standard_input_and_sudo(project: pytest.Pytester) -> None:
    sudo = project.path / "bin" / "sudo"
    sudo.write_text('#!/bin/sh\necho "sudo $1 $2 $3 $4"\nshift 4\nexec "$@"\n')
    sudo.chmod(0o755)
    project.path.joinpath("inventories/prod.py").write_text(
        'apps = [("web-1", {"_sudo": True, "_sudo_user": "deploy"})]\n'
    )
    project.makepyfile(
        test_uv="""
        def test_it(host):
            done = host.run("cat; echo %s", "a 'b' c", stdin="from here\\n")
            assert done.stdout == "sudo -H -n -u deploy\\nfrom here\\na 'b' c\\n"
        """
    )
    run(project, "--inventory", "inventories/prod.py").assert_outcomes(passed=1)


@pytest.mark.parametrize("become", ["", '"_sudo": True'])
def test_every_command_goes_through_the_shell_that_a_rollout_names(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, become: str
) -> None:
    for name, text in {
        "sudo": 'shift 2\nexec "$@"\n',
        "fence": 'case $2 in *touch*) exit 75 ;; esac\nexec sh "$@"\n',
    }.items():
        program = project.path / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}")
        program.chmod(0o755)
    inventory = f'apps = [("web-1", {{{become}}})]\n'
    project.path.joinpath("inventories/prod.py").write_text(inventory)
    project.makepyfile(
        test_uv="""
        def test_it(host):
            assert host.run("echo %s; exit 3", "a 'b'").stdout == "a 'b'\\n"
            assert host.run("touch x").rc == 75
        """
    )
    monkeypatch.setenv("UPLIFT_VERIFY_SHELL", "fence")
    run(project, "--inventory", "inventories/prod.py").assert_outcomes(passed=1)


@pytest.mark.parametrize("asks", [True, False])
def test_the_password_of_sudo_is_read_by_sudo_alone(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, asks: bool
) -> None:
    sudo = project.path / "bin" / "sudo"
    read = '[ "$(head -n 1)" = "open sesame" ] || exit 1\n' if asks else ""
    # dash's read and head leave the rest of a pipe alone only where they read byte by byte.
    read = read.replace("$(head -n 1)", '$(IFS= read -r p; printf %s "$p")')
    sudo.write_text(
        f'#!/bin/sh\n[ "$1 $2 $3 $4" = "-H -k -S -p" ] || exit 1\n{read}shift 5\nexec "$@"\n'
    )
    sudo.chmod(0o755)
    data = '"_sudo_password": "open sesame"' if asks else '"sudo_password": {"secret": "a/sudo"}'
    monkeypatch.setenv("UPLIFT_SECRET_A_SUDO", "open sesame")
    project.path.joinpath("inventories/prod.py").write_text(
        f'apps = [("web-1", {{"_sudo": True, {data}}})]\n'
    )
    project.makepyfile(
        test_uv="""
        def test_it(host):
            assert host.run("cat", stdin="from\\nhere\\n").stdout == "from\\nhere\\n"
        """
    )
    run(project, "--inventory", "inventories/prod.py").assert_outcomes(passed=1)
    assert not any("sesame" in call for call in ssh_calls(project.path))


def test_a_password_that_sudo_refuses_is_told_with_the_remedy(project: pytest.Pytester) -> None:
    sudo = project.path / "bin" / "sudo"
    sudo.write_text(
        "#!/bin/sh\n(echo 'Sorry, try again.'; echo 'sudo: no password was provided'\n"
        "echo 'sudo: 2 incorrect password attempts') >&2; exit 1\n"
    )
    sudo.chmod(0o755)
    project.path.joinpath("inventories/prod.py").write_text(
        'apps = [("web-1", {"_sudo": True, "_sudo_password": "open sesame"})]\n'
    )
    project.makepyfile(test_uv="def test_it(host): pass")
    done = run(project, "--inventory", "inventories/prod.py")
    done.stdout.fnmatch_lines(["*web-1 could not be reached: sudo refused the password. *"])
    done.stdout.fnmatch_lines(["*sudo_password names in group data*"])


def test_a_failed_test_shows_no_password_of_the_data(project: pytest.Pytester) -> None:
    project.path.joinpath("inventories/prod.py").write_text(
        'apps = [("web-1", {"_sudo_password": "open sesame", "port": 81})]\n'
    )
    project.makepyfile(
        test_uv="""
        def test_it(host, data):
            assert data["_sudo_password"]
            assert data["port"] == 80
        """
    )
    done = run(project, "-vv", "-l", "--inventory", "inventories/prod.py")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*<data: _sudo_password, port>*"])
    done.stdout.no_fnmatch_line("*sesame*")


def test_a_lost_connection_names_the_host(project: pytest.Pytester) -> None:
    project.makepyfile(test_uv="def test_it(host):\n    host.run('echo gone >&2; exit 255')\n")
    done = run(project, "--inventory", "inventories/prod.py", "--limit", "web-1")
    done.stdout.fnmatch_lines(["*LostConnection: web-1: gone*"])


def test_a_command_without_end_names_the_host(project: pytest.Pytester) -> None:
    project.makepyfile(test_uv="def test_it(host):\n    host.run('sleep 30', timeout=1)\n")
    done = run(project, "--inventory", "inventories/prod.py", "--limit", "web-1")
    done.stdout.fnmatch_lines(["*LostConnection: web-1: no end after 1 s: sleep 30*"])


# Everybody else's runs of pytest, in an environment that has uplift.


def test_testinfra_by_itself_stays_as_it_is(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(host): assert host.run('true').rc == 0\n")
    run_alone(pytester, "--hosts", "local://").assert_outcomes(passed=1)
    run_alone(pytester).assert_outcomes(passed=1)


def test_fixtures_of_the_same_names_stay_theirs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def data(): return 1

        @pytest.fixture
        def settings(): return 2

        def test_it(data, settings): assert data + settings == 3
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_options_that_another_plugin_has_taken_get_a_longer_name(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        theirs="def pytest_addoption(parser): parser.addoption('--inventory')\n",
        test_it="def test_it(): pass\n",
    )
    pytester.syspathinsert()
    run(pytester, "-p", "theirs", "--inventory", "x").assert_outcomes(passed=1)
    done = run(pytester, "-p", "theirs", "--uplift-inventory", "x.py")
    done.stderr.fnmatch_lines(["*no inventory file x.py*"])


def test_the_plugin_loads_nothing_that_a_run_without_inventory_does_not_need() -> None:
    code = (
        "import sys, uplift.verify.plugin; "
        "print(*[n for n in ('pyinfra', 'pydantic', 'testinfra', 'paramiko') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_suite_of_this_repository_never_tests_this_machine(pytester: pytest.Pytester) -> None:
    suite = Path(__file__).parents[1] / "verify"
    done = run(pytester, "--rootdir", str(suite), str(suite))
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*give --inventory*"])
