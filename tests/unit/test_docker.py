"""The block docker, what a host says, and what is to be done."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.spec.docker import Docker
from uplift.spec.docker_daemon import Refused
from uplift.spec.docker_plan import Plan, plan
from uplift.spec.docker_script import render
from uplift.spec.docker_state import CaFile, ConfigFile, DockerState, Loaded, parse
from uplift.spec.errors import SettingsError

WANTED = Docker(insecure_registries=("registry:5000",), registry_mirrors=("http://m.example",))
PEM = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
START = 1000.0


def text(settings: Docker = WANTED) -> str:
    made = plan(settings, {}, DockerState(systemd=True, os=("debian", "13"))).config
    assert made is not None
    return made.decode()


def info(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the daemon says when it runs with a configuration."""
    insecure = config.get("insecure-registries", [])
    return {
        "LiveRestoreEnabled": config.get("live-restore", False),
        "LoggingDriver": config.get("log-driver", "json-file"),
        "ServerVersion": "26.1.5",
        "ContainersRunning": 0,
        "Swarm": {"LocalNodeState": "inactive"},
        "RegistryConfig": {
            "InsecureRegistryCIDRs": ["127.0.0.0/8"],
            "IndexConfigs": {"docker.io": {"Secure": True}}
            | {name: {"Secure": False} for name in insecure},
            "Mirrors": [f"{url}/" for url in config.get("registry-mirrors", [])],
        },
        **more,
    }


def running(content: str | None, **more: Any) -> DockerState:
    """A host whose daemon was started after its file was written."""
    config = json.loads(content) if content else {}
    state = DockerState(
        systemd=True,
        os=("debian", "13"),
        packages={"docker.io": "26.1.5"},
        engine="/usr/sbin/dockerd",
        client="/usr/bin/docker",
        unit={
            "LoadState": "loaded",
            "ActiveState": "active",
            "UnitFileState": "enabled",
            "InvocationID": "run1",
        },
        started=START,
        reloaded=START,
        config=ConfigFile(content.encode(), "regular file", "644", "0:0", START - 10)
        if content is not None
        else None,
        info=info(config),
    )
    return replace(state, **more)


def with_info(state: DockerState, **more: Any) -> DockerState:
    return replace(state, info={**(state.info or {}), **more})


# The block


def test_without_any_key_logs_rotate_and_live_restore_is_on():
    assert Docker().daemon_keys() == {
        ("live-restore",): True,
        ("log-driver",): "json-file",
        ("log-opts", "max-size"): "10m",
        ("log-opts", "max-file"): "3",
    }


def test_a_log_driver_of_none_leaves_driver_and_options_to_the_host():
    keys = Docker(log_driver=None, daemon_json={"log-driver": "journald"}).daemon_keys()
    assert keys == {("live-restore",): True, ("log-driver",): "journald"}


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"log_opts": {"max_size": "10mb"}}, "docker.log_opts.max_size: a size is"),
        ({"log_opts": {"max_file": 0}}, "docker.log_opts.max_file: "),
        ({"log_driver": "syslog"}, "'json-file' or 'local'"),
        ({"registries": {"https://r.example": {"ca_file": "x"}}}, "without scheme"),
        ({"registries": {"r.example/path": {"ca_file": "x"}}}, "without scheme"),
        ({"registries": {"r.example:99999": {"ca_file": "x"}}}, "host:port"),
        ({"registries": {"..": {"ca_file": "x"}}}, "host:port"),
        ({"insecure_registries": ["10.0.0.1/8"]}, "or a network"),
        ({"registry_mirrors": ["mirror.example"]}, "a mirror is a URL"),
        ({"registry_mirrors": ["https://m.example/?x=1"]}, "without query"),
        ({"data_root": "relative"}, "absolute path"),
        ({"default_address_pools": [{"base": "10.0.0.0/16", "size": 8}]}, "16 to 32"),
        ({"daemon_json": {"live-restore": False}}, "set by docker.live_restore"),
        ({"daemon_json": {"log-opts": {}}}, "set by docker.log_opts"),
        ({"daemon_json": {"hosts": ["tcp://0.0.0.0:2375"]}}, "conflicts with the -H"),
        ({"daemon_json": {"max_concurrent_downloads": 3}}, "with '-'"),
        ({"daemon_json": {"labels": {1, 2}}}, "a set, which JSON does not know"),
        ({"insecure_registrys": []}, "did you mean 'insecure_registries'"),
    ],
)
def test_bad_values_are_refused_with_the_key_and_what_is_allowed(block, words):
    with pytest.raises(SettingsError) as caught:
        Docker.parse(block, path="docker", source="group_data/all.py")
    assert words in str(caught.value)
    assert "group_data/all.py: docker" in str(caught.value)


@pytest.mark.parametrize("key", ["registry_mirrors", "insecure_registries"])
def test_a_password_in_an_address_is_refused_and_not_shown(key):
    password = secrets.token_hex(8)
    with pytest.raises(SettingsError) as caught:
        Docker.parse({key: [f"https://me:{password}@m.example"]}, path="docker")
    assert password not in str(caught.value)


@pytest.mark.parametrize(
    "registry", ["localhost", "r.example:5000", "10.0.0.1:5000", "[fd00::1]:5000", "a_b"]
)
def test_registries_are_host_or_host_and_port(registry):
    assert Docker(insecure_registries=(registry,)).insecure_registries == (registry,)


# Installing and adopting


def test_debian_13_gets_engine_client_and_buildx():
    made = plan(WANTED, {}, DockerState(systemd=True, os=("debian", "13")))
    assert made.install == ("docker.io", "docker-cli", "docker-buildx")
    assert (made.daemon, made.enable) == ("restart", True)


def test_debian_12_gets_the_engine_that_has_the_client_inside():
    assert plan(WANTED, {}, DockerState(systemd=True, os=("debian", "12"))).install == (
        "docker.io",
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (DockerState(systemd=False), "does not run systemd"),
        (DockerState(systemd=True, os=("ubuntu", "24.04")), "Debian 12 and Debian 13 only, this"),
        (DockerState(systemd=True, os=("ubuntu", "24.04")), "is ubuntu 24.04: install Docker"),
        (DockerState(systemd=True, busy="uplift-docker-1.service"), "uplift-docker-1.service"),
        (
            DockerState(systemd=True, os=("debian", "13"), packages={"podman-docker": "5"}),
            "podman-docker",
        ),
        (replace(running("{}"), unit={}), "has no docker.service"),
        (replace(running("{}"), info=None), "does not answer"),
        (replace(running("{}"), client=None, packages={"docker-ce": "1"}), "without the docker"),
        (replace(running("{}"), unit={"UnitFileState": "masked"}), "masked"),
    ],
)
def test_hosts_that_cannot_be_served_are_refused_by_name(state, words):
    with pytest.raises(Refused) as caught:
        plan(WANTED, {}, state)
    assert words in str(caught.value)


def test_another_distributions_engine_is_adopted():
    state = running("{}", os=("ubuntu", "24.04"), packages={"docker-ce": "28.0"})
    made = plan(WANTED, {}, state)
    assert made.install == ()
    assert made.config is not None


def test_debians_engine_without_its_client_gets_the_client_only():
    made = plan(WANTED, {}, running(text(), client=None))
    assert made.install == ("docker-cli", "docker-buildx")


# daemon.json


def test_a_host_as_wanted_needs_nothing():
    assert plan(WANTED, {}, running(text())).empty


def test_foreign_keys_keep_their_bytes():
    foreign = '{\n    "max-concurrent-uploads" : 2,\n    "live-restore": false\n}\n'
    made = plan(WANTED, {}, running(foreign))
    assert made.config is not None
    assert b'"max-concurrent-uploads" : 2,' in made.config
    assert json.loads(made.config)["live-restore"] is True


def test_a_setting_that_is_dropped_takes_out_what_we_had_written():
    first = plan(WANTED, {}, running('{"debug": false}'))
    assert first.config is not None
    state = running(first.config.decode(), record=first.record)
    without = plan(Docker(registry_mirrors=WANTED.registry_mirrors), {}, state)
    assert without.config is not None
    assert set(json.loads(without.config)) == {
        "debug",
        "live-restore",
        "log-driver",
        "log-opts",
        "registry-mirrors",
    }
    # A daemon that is only reloaded would keep the value of a key that is gone.
    assert without.daemon == "restart"


def test_a_dropped_setting_that_somebody_changed_since_stays():
    first = plan(WANTED, {}, running("{}"))
    assert first.config is not None
    config = json.loads(first.config) | {"registry-mirrors": ["http://theirs.example"]}
    state = running(json.dumps(config), record=first.record)
    made = plan(Docker(insecure_registries=WANTED.insecure_registries), {}, state)
    assert made.empty


def test_what_was_right_before_we_came_is_never_taken_out():
    state = running(text())
    made = plan(WANTED, {}, replace(state, unit={**state.unit, "UnitFileState": "disabled"}))
    assert made.record == {"format": 1, "keys": [], "certs": {}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{\n  "debug": true,\n}', "/etc/docker/daemon.json, line"),
        (b'{\n  # why\n  "debug": true\n}', "line 2: not JSON: comments"),
        (b'{\n"debug": "\xff"}', "line 2: not UTF-8"),
        (b'{"log-opts": []}', "line 1: 'log-opts' is not an object"),
    ],
)
def test_a_broken_daemon_json_is_an_error_with_file_and_line(content, words):
    state = running("{}")
    config = ConfigFile(content, "regular file", "644", "0:0", START - 10)
    with pytest.raises(Refused) as caught:
        plan(WANTED, {}, replace(state, config=config))
    assert words in str(caught.value)
    assert "left as it is" in str(caught.value)


def test_a_symbolic_link_in_the_place_of_daemon_json_is_an_error():
    config = ConfigFile(b"", "symbolic link", "777", "0:0", START - 10)
    with pytest.raises(Refused, match="is a symbolic link"):
        plan(WANTED, {}, replace(running("{}"), config=config))


def test_a_wrong_mode_is_put_right_without_touching_the_daemon():
    state = running(text())
    assert state.config
    made = plan(WANTED, {}, replace(state, config=replace(state.config, mode="664")))
    assert (made.mode, made.config, made.daemon) == (True, None, "leave")


def test_a_file_that_is_closed_to_others_stays_closed():
    state = running(text())
    assert state.config
    closed = replace(state, config=replace(state.config, mode="600"))
    assert plan(WANTED, {}, closed).empty


@pytest.mark.parametrize(
    "flags",
    [
        ("--insecure-registry=x:1",),
        ("--log-driver", "journald"),
        ("--live-restore",),
        ("--log-opt=max-size=1m",),
        ("--config-file=/etc/other.json",),
    ],
)
def test_a_flag_that_would_keep_the_daemon_from_starting_is_refused(flags):
    with pytest.raises(Refused, match="remove"):
        plan(WANTED, {}, running("{}", flags=("-H", "fd://", *flags)))


# The running daemon


def test_a_change_of_reloadable_keys_alone_is_a_reload():
    config = json.loads(text()) | {"insecure-registries": []}
    made = plan(WANTED, {}, running(json.dumps(config)))
    assert (made.daemon, made.restarts) == ("reload", ())


def test_log_options_need_a_restart_that_running_containers_outlive():
    config = json.loads(text()) | {"log-opts": {"max-size": "1m"}}
    made = plan(WANTED, {}, with_info(running(json.dumps(config)), ContainersRunning=3))
    assert made.daemon == "restart"
    assert "restart the daemon: log-opts" in made.why
    assert made.restarts == ("Docker Engine",)


def test_without_live_restore_running_containers_are_not_stopped_unasked():
    settings = WANTED.model_copy(update={"live_restore": False})
    state = with_info(running("{}"), ContainersRunning=3)
    with pytest.raises(Refused, match=r"3 running container.*docker.restart_running"):
        plan(settings, {}, state)
    allowed = settings.model_copy(update={"restart_running": True})
    assert plan(allowed, {}, state).daemon == "restart"
    assert plan(allowed, {}, state).restarts == ("Docker Engine", "3 running containers")
    assert plan(settings, {}, running("{}")).daemon == "restart"


def test_live_restore_is_refused_in_a_swarm_also_while_the_daemon_is_stopped():
    swarm = with_info(running("{}"), Swarm={"LocalNodeState": "active"})
    stopped = replace(running("{}"), info=None, swarm_files=True, unit={"ActiveState": "inactive"})
    for state in (swarm, stopped):
        with pytest.raises(Refused, match=r"set docker\.live_restore to False"):
            plan(WANTED, {}, state)
    assert plan(WANTED.model_copy(update={"live_restore": False}), {}, swarm).daemon == "restart"


@pytest.mark.parametrize("active", ["inactive", "failed"])
def test_a_stopped_daemon_is_started(active):
    state = running(text())
    state = replace(state, unit={**state.unit, "ActiveState": active}, info=None)
    assert plan(WANTED, {}, state).daemon == "start"


def test_a_daemon_that_does_not_start_at_boot_is_enabled_and_left_running():
    state = running(text())
    made = plan(WANTED, {}, replace(state, unit={**state.unit, "UnitFileState": "disabled"}))
    assert (made.enable, made.daemon) == (True, "leave")


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ({"LiveRestoreEnabled": False}, "reload"),
        ({"RegistryConfig": {}}, "reload"),
        ({"LoggingDriver": "local"}, "restart"),
    ],
)
def test_a_daemon_that_runs_with_something_else_is_found(said, step):
    assert plan(WANTED, {}, with_info(running(text()), **said)).daemon == step


def edited(state: DockerState, at: float, **config: Any) -> DockerState:
    assert state.config
    content = json.dumps(json.loads(state.config.content) | config).encode()
    return replace(state, config=replace(state.config, content=content, changed=at))


def test_a_foreign_key_edited_since_the_start_is_a_restart():
    assert plan(WANTED, {}, edited(running(text()), START + 5, dns=["10.0.0.1"])).daemon == (
        "restart"
    )


def test_a_foreign_key_that_needs_no_restart_is_a_reload_when_the_start_is_known():
    state = replace(running(text()), loaded=Loaded("run1", text().encode(), "-"))
    assert plan(WANTED, {}, edited(state, START + 5, debug=True)).daemon == "reload"
    reloaded = replace(edited(state, START + 5, debug=True), reloaded=START + 6)
    assert plan(WANTED, {}, reloaded).empty


def test_after_our_own_change_the_file_may_be_newer_than_the_daemon():
    loaded = Loaded("run1", text().encode(), "-")
    assert plan(WANTED, {}, edited(running(text(), loaded=loaded), START + 5)).daemon == "reload"
    state = running(text(), loaded=loaded)
    assert state.config
    newer = replace(state, config=replace(state.config, changed=START + 5))
    assert plan(WANTED, {}, newer).empty


def test_a_record_of_an_earlier_run_of_the_daemon_says_nothing():
    loaded = Loaded("run0", b'{"log-driver": "local"}', "-")
    assert plan(WANTED, {}, running(text(), loaded=loaded)).empty


def test_changed_ca_certificates_of_the_system_are_a_restart_once():
    state = running(text(), bundle=CaFile("b" * 64, "644", "0:0", START + 5))
    made = plan(WANTED, {}, state)
    assert made.daemon == "restart"
    assert "restart the daemon: CA certificates of the system were changed" in made.why
    same = replace(state, loaded=Loaded("run1", text().encode(), "b" * 64))
    assert plan(WANTED, {}, same).empty


def test_a_failed_restart_falls_back_to_the_file_of_before_with_live_restore():
    made = plan(WANTED, {}, running('{"mtu": 1400}'))
    assert made.fallback == b'{"mtu": 1400, "live-restore": true}'
    without = WANTED.model_copy(update={"live_restore": False})
    assert plan(without, {}, running('{"mtu": 1400}')).fallback is None
    assert plan(WANTED, {}, DockerState(systemd=True, os=("debian", "13"))).fallback is None


# CA files of registries


def test_a_registrys_ca_is_written_without_touching_the_daemon():
    made = plan(WANTED, {"r.example:5000": PEM}, running(text()))
    assert (made.certs, made.daemon) == ({"r.example:5000": PEM}, "leave")


def test_a_registrys_ca_is_ours_to_remove_only_when_we_wrote_it():
    first = plan(WANTED, {"r.example": PEM}, running(text()))
    assert first.record is not None
    ours = CaFile(first.record["certs"]["r.example"], "644", "0:0", START)
    certs = {"r.example": ours, "foreign.example": ours}
    state = running(text(), certs=certs, record=first.record)
    assert plan(WANTED, {"r.example": PEM}, state).empty
    assert plan(WANTED, {}, state).drop_certs == ("r.example",)
    theirs = {"r.example": replace(ours, sha256="0" * 64)}
    assert plan(WANTED, {}, replace(state, certs=theirs)).empty


# The whole circle

KEYS = st.dictionaries(
    st.sampled_from(["debug", "labels", "dns", "mtu", "live-restore", "log-driver", "log-opts"]),
    st.none() | st.dictionaries(st.sampled_from(["max-size", "env"]), st.text(max_size=3)),
    max_size=4,
)


@given(KEYS)
def test_what_was_planned_is_enough_and_keeps_foreign_keys(config):
    try:
        made = plan(WANTED, {}, running(json.dumps(config)))
    except Refused:
        assert not isinstance(config.get("log-opts", {}), dict)
        return
    assert made.config is not None
    after = json.loads(made.config)
    assert {key: after[key] for key in config.keys() - WANTED_TOP} == {
        key: config[key] for key in config.keys() - WANTED_TOP
    }
    assert plan(WANTED, {}, running(made.config.decode(), record=made.record)).empty


WANTED_TOP = {path[0] for path in WANTED.daemon_keys()}


# What the host prints


def lines(**more: str) -> list[str]:
    def coded(value: str) -> str:
        return base64.b64encode(value.encode()).decode()

    found = {
        "systemd": "yes",
        "busy": "",
        "os": "debian 13",
        "engine": "/usr/sbin/dockerd",
        "started": "1000.5",
        "flags": coded("dockerd\0-H\0fd://\0"),
        "config": f"644 0:0 999.25 {coded('{}')} regular file",
        "cert": "aa 600 0:0 1.0 /etc/docker/certs.d/r.example:5000/ca.crt",
        "bundle": "bb 644 0:0 998.0",
        "info": coded('{"ContainersRunning": 2}'),
        **more,
    }
    return [f"{word} {value}" for word, value in found.items()] + [
        "unit LoadState=loaded",
        "unit ActiveState=active",
        "package docker.io 26.1.5",
        "end",
    ]


def test_the_scripts_lines_become_a_state():
    state = parse(lines())
    assert state.active and not state.enabled
    assert state.flags == ("-H", "fd://")
    assert state.config == ConfigFile(b"{}", "regular file", "644", "0:0", 999.25)
    assert state.certs == {"r.example:5000": CaFile("aa", "600", "0:0", 1.0)}
    assert (state.running_containers, state.packages) == (2, {"docker.io": "26.1.5"})


def test_a_host_without_docker_is_absent_not_an_error():
    state = parse(["systemd yes", "busy ", "os debian 13", "unit LoadState=not-found", "end"])
    assert (state.engine, state.unit, state.config, state.info) == (None, {}, None, None)


def test_a_script_that_broke_off_is_an_error():
    with pytest.raises(ValueError, match="end"):
        parse(lines()[:-1])


@pytest.mark.parametrize("record", ["", "x", "[]", '{"format": 1}', '{"format": 1, "keys": [1]}'])
def test_a_record_that_cannot_be_read_is_none_at_all(record):
    assert parse(lines(record=base64.b64encode(record.encode()).decode())).record == {}


# The script


def full_plan() -> Plan:
    state = DockerState(systemd=True, os=("debian", "13"))
    return plan(WANTED, {"r.example": PEM}, state)


def test_the_script_is_one_that_dash_can_read():
    script = render(full_plan(), running("{}"), live_restore=True)
    subprocess.run(["dash", "-n"], input=script, text=True, check=True)
    assert "@" not in script.replace('"$@"', "")


def steps(tmp_path: Path, *calls: str) -> subprocess.CompletedProcess[str]:
    """Run steps of the script below a folder that stands in for the host's own."""
    script = render(Plan(), running("{}"), live_restore=True).partition("\nremember ")[0]
    for folder in ("/etc/docker", "/var/lib/uplift"):
        script = script.replace(folder, f"{tmp_path}{folder}")
    text = "\n".join([script, "chown() { :; }", *calls])
    return subprocess.run(["dash"], input=text, capture_output=True, text=True, check=False)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    made = tmp_path / "etc/docker"
    (made / "certs.d/r.example:5000").mkdir(parents=True)
    (tmp_path / "var/lib/uplift").mkdir(parents=True)
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "place",
    [
        "etc/docker/daemon.json",
        "etc/docker/certs.d/r.example:5000/ca.crt",
        "var/lib/uplift/docker.json",
    ],
)
def test_a_file_that_a_killed_change_left_half_written_goes_at_the_next_start(
    etc: Path, tmp_path: Path, place: str
):
    file = tmp_path / place
    file.write_text("old\n")
    foreign = [f"{file.name}.backup", f".{file.name}.ABCDEF", f"{file.name}.uplift-0123456789"]
    for name in foreign:
        (file.parent / name).write_text("theirs\n")
    killed = steps(tmp_path, "sync() { kill -s KILL $$; }", f"put '{file}' <<E", "new", "E")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(names(tmp_path)) == 5
    done = steps(tmp_path, "say again")
    assert (done.returncode, done.stdout, done.stderr) == (0, "uplift: again\n", "")
    assert names(tmp_path) == sorted([file.name, *foreign])
    assert file.read_text() == "old\n"


def test_a_configuration_that_is_refused_leaves_no_file(etc: Path, tmp_path: Path):
    content = base64.b64encode(b"{}").decode()
    dockerd = 'dockerd() { [ "$1" != --help ] || { echo --validate; return; }; echo no; return 1; }'
    done = steps(tmp_path, dockerd, f"configure {content} ''")
    assert (done.returncode, done.stderr) == (1, "")
    assert "no\nuplift: dockerd refuses this configuration" in done.stdout
    assert names(etc) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, 0o644), (0o600, 0o600), (0o640, 0o640), (0o666, 0o644), (0o755, 0o644)],
)
def test_the_file_is_never_opened_wider_than_it_was(
    etc: Path, tmp_path: Path, before: int | None, after: int
):
    file, content, seen = etc / "daemon.json", base64.b64encode(b"{}\n").decode(), "''"
    if before is not None:
        file.write_text("")
        file.chmod(before)
        seen = '"$(sum)"'
    done = steps(tmp_path, "dockerd() { :; }", f"configure {content} {seen}")
    assert done.returncode == 0, done.stderr
    assert (file.read_text(), file.stat().st_mode & 0o7777) == ("{}\n", after)


def test_the_script_restarts_after_the_file_and_remembers_last():
    calls = render(full_plan(), running("{}"), live_restore=True).splitlines()[-8:]
    steps = [call.split(" ")[0] for call in calls]
    assert steps[-7:] == [
        "install",
        "trust",
        "configure",
        "restart",
        "systemctl",
        "remember",
        "say",
    ]
