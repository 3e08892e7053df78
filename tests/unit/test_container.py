"""The wanted state of a container against what Docker says of the real one."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from container_double import CONFIG, IMAGE, NEW, OLD, inspect, state
from hypothesis import given
from hypothesis import strategies as st

from uplift.operations.container_script import render
from uplift.spec.container import Container, listening
from uplift.spec.container.arguments import create, update
from uplift.spec.container.image import Reference, Resolved
from uplift.spec.container.kept import Kept, surplus
from uplift.spec.container.kept import parse as parse_kept
from uplift.spec.container.lasting import lasting
from uplift.spec.container.plan import STEPS, Plan, Preparation, Refused, plan
from uplift.spec.container.state import SecretFile, parse
from uplift.spec.errors import SettingsError
from uplift.spec.secret import Secret, SecretRef

PASSWORD = SecretRef(secret="redis/password")
VALUES = {PASSWORD: Secret("s3cret-value")}
KEY = b"k" * 32


def container(**fields: Any) -> Container:
    return Container.parse({"name": "redis", "image": "redis:8", **fields}, path="redis")


def planned(it: Container, *found: dict[str, Any], **more: Any) -> Plan:
    return plan(it, state(it, *found, **more), VALUES, KEY)


FULL: dict[str, Any] = {
    "command": ["redis-server", "--appendonly", "yes"],
    "environment": {"A": "b", "EMPTY": "", "WITH": "a=b c"},
    "ports": [
        {"container": 6379},
        {"container": 6379, "host": 6380, "address": "::1"},
        {"container": 53, "protocol": "udp"},
    ],
    "mounts": [
        {"target": "/data", "volume": "redis"},
        {"target": "/conf", "source": "/etc/redis", "read_only": True},
    ],
    "tmpfs": {"/tmp": "size=1m,noexec"},
    "networks": [{"name": "back", "aliases": ["cache", "kv"]}, {"name": "front"}],
    "hostname": "cache",
    "user": "999:999",
    "working_dir": "/srv",
    "restart": "on-failure:3",
    "memory": "2g",
    "cpus": 1.5,
    "pids_limit": 50,
    "ulimits": {"nofile": {"soft": 100, "hard": 200}, "core": {"soft": 0}},
    "read_only": True,
    "cap_add": ["NET_BIND_SERVICE", "cap_chown"],
    "cap_drop": ["ALL"],
    "no_new_privileges": True,
    "init": True,
    "extra_hosts": {"a": "1.2.3.4", "b": "fe80::1"},
    "labels": {"team": "x"},
    "logging": {"driver": "local", "max_size": "5m"},
    "stop_signal": "SIGINT",
    "stop_timeout": 7,
}
OTHER: dict[str, Any] = {
    "command": ["redis-server"],
    "environment": {"A": "c", "NEW": "1"},
    "ports": [{"container": 6379, "address": "127.0.0.2"}],
    "mounts": [{"target": "/data", "volume": "other"}],
    "tmpfs": {"/tmp": "size=2m"},
    "networks": [{"name": "back", "aliases": ["cache"]}],
    "hostname": None,
    "user": "1000",
    "working_dir": None,
    "restart": "always",
    "memory": "3g",
    "cpus": 2.0,
    "pids_limit": 60,
    "ulimits": {},
    "read_only": False,
    "cap_add": [],
    "cap_drop": [],
    "no_new_privileges": False,
    "init": False,
    "extra_hosts": {},
    "labels": {},
    "logging": {"driver": "journald", "max_size": None, "max_file": None},
    "stop_signal": None,
    "stop_timeout": 30,
}


@st.composite
def settings(draw: st.DrawFn) -> dict[str, Any]:
    """Any choice of the fields above, each as in one or the other, or left out."""
    chosen = {}
    for field in FULL:
        source = draw(st.sampled_from([FULL, OTHER, None]))
        if source and source[field] is not None:
            chosen[field] = source[field]
    return chosen


@given(settings())
def test_a_container_made_from_its_settings_differs_in_nothing(fields: dict[str, Any]) -> None:
    it = container(**fields)
    assert planned(it, inspect(it)).action == "nothing"


@given(settings(), st.sampled_from(sorted(FULL)))
def test_a_field_that_changes_is_found_and_no_other(fields: dict[str, Any], field: str) -> None:
    old = container(**{**fields, field: FULL[field]})
    other = {} if OTHER[field] is None else {field: OTHER[field]}
    new = container(**{key: value for key, value in fields.items() if key != field}, **other)
    done = planned(new, inspect(old))
    assert done.action in ("replace", "mend")
    word = {"environment": "env", "command": "command", "labels": "label"}.get(field, field)
    word = {"no_new_privileges": "security"}.get(word, word)
    assert all(line.split()[0] == word for line in done.why), done.why


def test_the_line_names_what_changes_from_what_to_what() -> None:
    old = container(memory="2g", environment={"JAVA_OPTS": "-Xmx1g"})
    new = container(image="redis:9", memory="3g", environment={"JAVA_OPTS": "-Xmx2g"})
    resolved = {"redis:9": Resolved("redis:9", "registry", NEW, "")}
    done = planned(new, inspect(old), resolved=resolved)
    assert done.action == "replace"
    assert done.why == (
        "image 8 -> 9 (sha256:aaaaaaaa… -> sha256:bbbbbbbb…)",
        "env JAVA_OPTS changed",
        "memory 2g -> 3g",
    )


def test_the_same_tag_with_another_digest_is_another_image() -> None:
    it = container()
    resolved = {it.image: Resolved(it.image, "registry", NEW, IMAGE.id)}
    assert planned(it, inspect(it), resolved=resolved).why == (
        "image 8 -> 8 (sha256:aaaaaaaa… -> sha256:bbbbbbbb…)",
    )


def test_a_local_image_is_compared_by_its_id() -> None:
    it = container()
    same = {it.image: Resolved(it.image, "local", local=IMAGE.id)}
    other = {it.image: Resolved(it.image, "local", local="sha256:" + "2" * 64)}
    assert planned(it, inspect(it), resolved=same).action == "nothing"
    assert planned(it, inspect(it), resolved=other).action == "replace"


def test_a_digest_in_the_settings_needs_no_registry() -> None:
    it = container(image=f"registry.example:5000/redis:8@{OLD}")
    line = f"resolve {it.image} {IMAGE.id} skipped -"
    (resolved,) = parse(["docker yes", line, "end"]).resolved.values()
    assert (resolved.how, resolved.digest) == ("digest", OLD)
    assert planned(it, inspect(it), resolved={it.image: resolved}).action == "nothing"


def test_limits_and_restart_policy_change_without_a_restart() -> None:
    old = container(memory="2g", pids_limit=50)
    new = container(memory="1g", pids_limit=60, restart="always")
    done = planned(new, inspect(old))
    assert (done.action, done.start) == ("mend", False)
    assert update(new, done.fields) == [
        "--memory=1073741824",
        "--memory-swap=2147483648",
        "--pids-limit=60",
        "--restart=always",
    ]


def test_a_limit_that_goes_needs_a_new_container() -> None:
    # `docker update` takes no limit away.
    assert planned(container(), inspect(container(memory="2g"))).action == "replace"


def test_a_limit_that_the_kernel_cannot_set_is_a_warning_and_no_difference() -> None:
    it = container(memory="2g")
    done = planned(it, inspect(container()), limits=frozenset())
    assert (done.action, done.warnings) == (
        "nothing",
        ("memory: this host's kernel cannot limit it",),
    )
    assert not [word for word in create(it, state(it).resolved[it.image], ()) if "memory" in word]


def test_a_stopped_container_is_started_and_a_missing_one_made() -> None:
    it = container()
    found = inspect(it)
    found["State"]["Status"] = "exited"
    done = planned(it, found)
    assert (done.action, done.start, done.why) == ("mend", True, ("started (was exited)",))
    assert planned(it).action == "create"


def test_a_renamed_container_gets_its_name_back() -> None:
    it = container()
    found = inspect(it)
    found["Name"] = "/elsewhere"
    found["Config"]["Labels"]["io.uplift.container"] = "redis"
    done = planned(it, found)
    assert (done.action, done.found, done.why) == (
        "mend",
        "elsewhere",
        ("renamed elsewhere -> redis",),
    )


def test_a_container_that_somebody_else_made_is_left_running_when_it_is_equal() -> None:
    it = container(memory="2g")
    found = inspect(it)
    found["Config"]["Labels"] = dict(CONFIG["Labels"])
    assert planned(it, found).action == "nothing"


@pytest.mark.parametrize(
    ("part", "drift", "word"),
    [
        ("HostConfig", {"Privileged": True}, "privileged"),
        ("HostConfig", {"Devices": [{"PathOnHost": "/dev/kvm"}]}, "devices"),
        ("HostConfig", {"SecurityOpt": ["seccomp=unconfined"]}, "security"),
        ("HostConfig", {"CpuQuota": 50_000, "CpuPeriod": 100_000}, "cpus"),
        ("Config", {"Healthcheck": {"Test": ["NONE"]}}, "healthcheck"),
        ("Config", {"Env": ["PATH=/elsewhere", "LANG=C.UTF-8"]}, "env"),
        ("Config", {"Labels": {"maintainer": "somebody else"}}, "label"),
        ("Config", {"User": "root"}, "user"),
    ],
)
def test_drift_by_hand_that_no_setting_names_is_found(
    part: str, drift: dict[str, Any], word: str
) -> None:
    it = container()
    found = inspect(it)
    found[part] |= drift
    done = planned(it, found)
    assert done.action == "replace"
    assert [line.split()[0] for line in done.why] == [word]


SECRET = {"secrets": {"password": {"secret": "redis/password"}}, "secret_owner": 999}


def hashed(text: str, rights: str = "400 999:0") -> dict[str, dict[str, SecretFile]]:
    return {"redis": {"password": SecretFile(rights, hashlib.sha256(text.encode()).hexdigest())}}


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (hashed("salts3cret-value"), None),
        ({}, "secret password added"),
        (hashed("saltother"), "secret password changed (now "),
        (hashed("salts3cret-value", "644 0:0"), "secret password: rights 644 0:0 -> 400 999:0"),
        (
            {"redis": {**hashed("salts3cret-value")["redis"], "old": SecretFile("", "")}},
            "secret old removed",
        ),
    ],
)
def test_a_changed_secret_is_a_change_that_shows_no_secret(
    files: dict[str, dict[str, SecretFile]], why: str | None
) -> None:
    it = container(**SECRET)
    done = planned(it, inspect(it), secrets=files, salt="salt")
    assert (done.action == "nothing") == (why is None)
    assert why is None or done.why[0].startswith(why)
    assert "s3cret" not in repr(done)


EXPOSED = {
    "environment": {"PASSWORD": {"secret": "redis/password"}, "A": "b"},
    "expose_in_environment": True,
}


def test_a_secret_in_the_environment_is_compared_and_never_in_the_command_line() -> None:
    it = container(**EXPOSED)
    assert planned(it, inspect(it, VALUES)).action == "nothing"
    done = planned(it, inspect(it, {PASSWORD: Secret("old-value")}))
    assert done.why == ("env PASSWORD changed",)
    words = create(it, state(it).resolved[it.image], ())
    assert "--env=A=b" in words
    assert "s3cret" not in repr(words)
    assert not any(word.startswith("--env=PASSWORD") for word in words)


def test_a_secret_of_several_lines_cannot_stand_in_the_environment() -> None:
    it = container(**EXPOSED)
    with pytest.raises(Refused, match="several lines: use secrets"):
        plan(it, state(it), {PASSWORD: Secret("a\nb")}, KEY)


def test_the_command_line_of_docker_create() -> None:
    it = container(**{**FULL, "entrypoint": ["/bin/sh", "-c"], "command": ["true"]}, **SECRET)
    words = create(it, Resolved(it.image, "registry", NEW), {"memory", "cpus", "pids_limit"})
    assert words[-3:] == [f"redis@{NEW}", "-c", "true"]
    assert {
        "--label=io.uplift.managed=true",
        "--label=io.uplift.subject=redis",
        "--label=io.uplift.container=redis",
        "--label=io.uplift.image=redis:8",
        "--label=team=x",
        "--entrypoint=/bin/sh",
        "--publish=127.0.0.1:6379:6379/tcp",
        "--publish=[::1]:6380:6379/tcp",
        "--mount=type=volume,source=redis,target=/data",
        "--mount=type=bind,source=/etc/redis,target=/conf,readonly",
        "--mount=type=bind,source=/etc/uplift/secrets/redis,target=/run/secrets,readonly",
        "--tmpfs=/tmp:size=1m,noexec",
        "--network=back",
        "--network-alias=cache",
        "--ulimit=nofile=100:200",
        "--ulimit=core=0:0",
        "--security-opt=no-new-privileges",
        "--memory=2147483648",
        "--cpus=1.5",
        "--restart=on-failure:3",
        "--env=WITH=a=b c",
    } <= set(words)


@pytest.mark.parametrize(
    ("status", "message", "how", "text"),
    [
        ("404", "manifest unknown: manifest unknown", "failed", "the registry has no such image"),
        ("401", "unauthorized: authentication required", "failed", "credentials: the registry"),
        ("500", 'Get "https://r/v2/": no basic auth credentials', "failed", "credentials"),
        ("500", "dial tcp: lookup r: no such host", "failed", "the registry does not answer"),
        ("500", "x509: certificate signed by unknown authority", "failed", "this host does not"),
        ("000", "", "failed", "the registry does not answer"),
    ],
)
def test_why_an_image_cannot_be_had_is_said_before_anything_is_touched(
    status: str, message: str, how: str, text: str
) -> None:
    import base64
    import json

    body = base64.b64encode(json.dumps({"message": message}).encode()).decode()
    it = container()
    (found,) = parse(["docker yes", f"resolve redis:8 - {status} {body}", "end"]).resolved.values()
    assert found.how == how
    with pytest.raises(Refused, match=f"redis:8: {text}.*nothing was touched"):
        planned(it, inspect(it), resolved={it.image: found})


def test_with_the_registry_down_the_hosts_own_image_is_taken_and_that_is_said() -> None:
    line = f"resolve redis:8 {IMAGE.id} 000 -"
    (found,) = parse(["docker yes", line, "end"]).resolved.values()
    assert found.how == "local"
    assert "on the host (the registry does not answer" in found.words
    it = container()
    assert planned(it, inspect(it), resolved={it.image: found}).action == "nothing"


def test_nothing_is_planned_on_a_replacement_that_is_not_settled() -> None:
    it = container()
    with pytest.raises(Refused, match="interrupted at 'copy before' in the meantime: run again"):
        planned(it, inspect(it), journals={"redis": "copy before"})


def test_a_subject_that_changes_the_data_replaces_a_container_that_is_as_it_should_be() -> None:
    it = container()
    found = plan(it, state(it, inspect(it)), VALUES, KEY, ("its file: a -> b",))
    assert (found.action, found.why) == ("replace", ("its file: a -> b",))
    assert plan(it, state(it, inspect(it)), VALUES, KEY).action == "nothing"


def test_what_a_subject_changes_in_the_data_comes_after_the_copy_and_before_the_start() -> None:
    assert STEPS.index("copy") < STEPS.index("prepare") < STEPS.index("start")
    it = container()
    todo = planned(it)
    script = render(it, todo, state(it), VALUES, Preparation("touch the-data", ()))
    assert "prepare() {\ntouch the-data\n}" in script


def test_a_previous_container_that_no_replacement_left_is_not_touched() -> None:
    it = container()
    old = {**inspect(it), "Name": "/redis--previous"}
    with pytest.raises(Refused, match="redis--previous is in the way"):
        planned(it, inspect(it), old)


def test_a_container_that_vanishes_when_stopped_is_not_replaced() -> None:
    found = inspect(container(command=["other"]))
    found["HostConfig"]["AutoRemove"] = True
    with pytest.raises(Refused, match="started with --rm"):
        planned(container(), found)


def test_a_stateful_container_on_a_volume_that_cannot_be_copied_is_refused() -> None:
    fields = {"mounts": [{"target": "/data", "volume": "nfs"}], "stateful": True}
    volumes = {"nfs": {"Name": "nfs", "Driver": "local", "Options": {"type": "nfs"}}}
    with pytest.raises(Refused, match="volume nfs is not a plain local one"):
        planned(container(**fields), inspect(container()), volumes=volumes)


def test_without_docker_the_remedy_is_named() -> None:
    it = container()
    with pytest.raises(Refused, match="no Docker Engine"):
        plan(it, parse(["busy", "docker no", "end"]), VALUES, KEY)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"image": "Redis:8"}, "an image as 'redis:8'"),
        ({"memory": "2gig"}, "a size is a number and k, m or g"),
        ({"restart": "on-failure:x"}, "'no', 'always'"),
        ({"mounts": [{"target": "/data"}]}, "either volume"),
        ({"mounts": [{"target": "data", "volume": "redis"}]}, "an absolute path"),
        ({"environment": {"P": {"secret": "a/b"}}}, "expose_in_environment"),
        ({"secrets": {"p": {"secret": "a/b"}}, "user": "redis"}, "secret_owner"),
        ({"ports": [{"container": 1}, {"container": 2, "host": 1}]}, "published twice"),
        ({"networks": [{"name": "host"}], "ports": [{"container": 1}]}, "'host' stands alone"),
        ({"health": {"tcp": 1, "image": True}}, "one check at most"),
        ({"tmpfs": {"/x": ""}, "mounts": [{"target": "/x", "volume": "redis"}]}, "two mounts"),
        ({"name": "redis--previous"}, "kept for replacements"),
        ({"labels": {"io.uplift.x": "y"}}, "begins with 'io.uplift.'"),
        ({"memmory": "2g"}, "did you mean 'memory'"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_their_key(
    fields: dict[str, Any], text: str
) -> None:
    with pytest.raises(SettingsError, match=text):
        container(**fields)


@pytest.mark.parametrize(
    ("text", "name", "tag", "registry"),
    [
        ("redis", "redis", "latest", "https://index.docker.io/v1/"),
        ("team/app:1", "team/app", "1", "https://index.docker.io/v1/"),
        ("registry:5000/a/b:1", "registry:5000/a/b", "1", "registry:5000"),
        (f"r.example/a@{OLD}", "r.example/a", "", "r.example"),
    ],
)
def test_a_reference_is_read_as_docker_reads_it(
    text: str, name: str, tag: str, registry: str
) -> None:
    found = Reference.parse(text)
    assert (found.name, found.tag, found.registry) == (name, tag, registry)


def kept(*lines: str) -> Kept:
    return parse_kept(["busy ", "docker yes", *lines, "end"])


def releases(name: str, *images: str) -> list[str]:
    return [f"release {name} {image}" for image in images]


def there(*images: str) -> list[str]:
    return [f"image {image}" for image in images]


def test_images_of_the_last_releases_stay_each_counted_once() -> None:
    found = kept(*releases("redis", *"abcbcbc"), *there(*"abcz"), "used c")
    assert surplus([container(keep={"images": 2})], found) == ["a"]
    assert surplus([container(keep={"images": 3})], found) == []


def test_what_runs_stays_though_it_is_older_than_the_last_releases() -> None:
    found = kept(*releases("redis", *"abcd"), *there(*"abcd"), "used a")
    assert surplus([container(keep={"images": 2})], found) == ["b"]


def test_an_image_that_another_container_may_need_stays() -> None:
    found = kept(*releases("redis", *"abcd"), *releases("other", *"ab"), *there(*"abcd"))
    assert surplus([container(keep={"images": 2})], found) == []


def test_images_that_were_never_a_release_or_are_gone_are_not_ours_to_remove() -> None:
    found = kept(*releases("redis", *"abc"), *there("b", "c", "foreign"))
    assert surplus([container(keep={"images": 2})], found) == []


@given(
    st.lists(st.sampled_from("abcdef")),
    st.sets(st.sampled_from("abcdef")),
    st.integers(2, 4),
)
def test_nothing_that_runs_or_is_recent_is_ever_surplus(
    history: list[str], used: set[str], keep: int
) -> None:
    found = kept(*releases("redis", *history), *there(*"abcdef"), *(f"used {one}" for one in used))
    gone = set(surplus([container(keep={"images": keep})], found))
    assert not gone & used
    recent = list(dict.fromkeys(reversed(history)))[:keep]
    assert not gone & set(recent)
    assert gone == set(history) - used - set(recent)


def kept_back(it: Container, found: dict[str, Any], *why: str, **more: Any) -> str:
    there = state(it, found, **more)
    preparation = Preparation(":", why)
    return lasting(it, plan(it, there, {}, KEY, why), there, preparation)


def test_another_image_goes_back_unless_the_container_keeps_data_of_its_own() -> None:
    it = container(image="redis:8")
    other = {"resolved": {it.image: Resolved(it.image, "registry", NEW)}}
    assert kept_back(it, inspect(it), **other) == ""
    data = container(image="redis:8", stateful=True)
    assert "another image on the data" in kept_back(data, inspect(data), **other)
    assert kept_back(data, inspect(container(stateful=True, user="x", image="redis:8"))) == ""


def test_what_is_written_in_the_data_does_not_go_back_and_a_first_container_does() -> None:
    it = container(stateful=True)
    assert "port 1 -> 2" in kept_back(it, inspect(it), "port 1 -> 2")
    empty = state(it)
    assert lasting(it, plan(it, empty, {}, KEY), empty, Preparation(":", ("port",))) == ""


ANY = "0.0.0.0"  # noqa: S104 - where others listen
SS = """\
tcp   LISTEN 0      128          0.0.0.0:22        0.0.0.0:*    users:(("sshd",pid=62,fd=3))
tcp   LISTEN 0      128             [::]:22           [::]:*    users:(("sshd",pid=62,fd=4))
tcp   LISTEN 0      511                *:80              *:*    users:(("apache2",pid=9,fd=4))
udp   UNCONN 0      0      127.0.0.53%lo:53        0.0.0.0:*
tcp   LISTEN 0      511        127.0.0.1:6379      0.0.0.0:*    users:(("valkey-server",pid=7,fd=6))
"""


@pytest.mark.parametrize(
    ("port", "who"),
    [
        ({"container": 6379}, "valkey-server"),
        ({"container": 6379, "address": ANY}, "valkey-server"),
        ({"container": 6379, "address": "10.0.0.5"}, ""),
        ({"container": 6379, "host": 80, "address": "10.0.0.5"}, "apache2"),
        ({"container": 6379, "host": 80, "address": "::1"}, "apache2"),
        ({"container": 6379, "host": 22, "address": "127.0.0.1"}, "sshd"),
        ({"container": 6379, "host": 53, "address": "127.0.0.53", "protocol": "udp"}, "not known"),
        ({"container": 6379, "host": 53, "address": "127.0.0.53"}, ""),
        ({"container": 6379, "host": 6380}, ""),
    ],
)
def test_a_port_that_somebody_else_has_is_refused_before_anything_changes(
    port: dict[str, Any], who: str
) -> None:
    it = container(ports=[port])
    there = state(it, listeners=tuple(listening.parse(SS)))
    if not who:
        assert plan(it, there, {}, KEY).action == "create"
        return
    with pytest.raises(Refused, match=f"somebody else listens on .*{who}.*nothing was touched"):
        plan(it, there, {}, KEY)


def test_what_its_own_container_has_is_not_in_the_way_of_the_next_one() -> None:
    old = container(ports=[{"container": 6379}])
    new = container(ports=[{"container": 6379}], environment={"A": "b"})
    there = state(new, inspect(old), listeners=tuple(listening.parse(SS)))
    assert plan(new, there, {}, KEY).action == "replace"
    stopped = inspect(old)
    stopped["State"]["Status"] = "exited"
    there = state(old, stopped, listeners=tuple(listening.parse(SS)))
    with pytest.raises(Refused, match="valkey-server"):
        plan(old, there, {}, KEY)


@given(st.text())
def test_whatever_ss_prints_is_read_without_an_error(text: str) -> None:
    assert all(one.port >= 0 for one in listening.parse(text))
