"""The container of a Nexus: settings, memory, nexus.properties, and which image fits the data."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from uplift.spec.container.units import memory_bytes
from uplift.spec.errors import SettingsError
from uplift.spec.nexus import properties
from uplift.spec.nexus.data import FIRST, Data, parse, parse_traces, properties_file
from uplift.spec.nexus.server import (
    JAVA_OPTIONS,
    Memory,
    Server,
    container,
    memory,
    memory_of,
)
from uplift.spec.nexus.upgrade import H2, ORIENT, Step, number, refusal, remarks

GIB = 1024**3
DIGEST = f"sha256:{'a' * 64}"


def server(**fields: Any) -> Server:
    return Server.parse(fields, path="nexus.container")


# nexus.properties

FOUND = """# Jetty section
application-port=8081\r
nexus-args=${jetty.etc}/jetty.xml,\\
   ${jetty.etc}/jetty-http.xml
  a\\ key\\=x : b\\u0063
! twice
twice = 1
twice 2
empty
last=no line end"""


def test_a_file_is_read_as_java_reads_it() -> None:
    assert properties.read(FOUND) == {
        "application-port": "8081",
        "nexus-args": "${jetty.etc}/jetty.xml,${jetty.etc}/jetty-http.xml",
        "a key=x": "bc",
        "twice": "2",
        "empty": "",
        "last": "no line end",
    }


def test_a_key_is_set_where_it_stands_and_the_rest_stays() -> None:
    merged = properties.merge(FOUND, {"twice": "3", "empty": None, "new": "a=b"})
    assert merged == FOUND.replace("twice = 1\n", "").replace("twice 2", "twice=3").replace(
        "empty\n", ""
    ) + ("\nnew=a=b\n")


@pytest.mark.parametrize(
    ("text", "merged"),
    [
        ("a=1\\", "a=1\nnew=\n"),
        ("a=1\\\n", "a=1\nnew=\n"),
        ("a=1\\\r\n\\", "a=1\\\r\n\r\nnew=\r\n"),
        ("# a \\", "# a \\\nnew=\n"),
    ],
)
def test_a_last_line_that_says_it_goes_on_does_not_take_the_new_key_in(
    text: str, merged: str
) -> None:
    assert properties.merge(text, {"new": ""}) == merged


TEXTS = st.text(st.characters(max_codepoint=255), max_size=60) | st.lists(
    st.sampled_from(["a", "b=", "\\", "\n", "\r\n", "#", "!", " ", ":", "\\u0041", "\t", "é"])
).map("".join)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
VALUES = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(TEXTS)
def test_the_logical_lines_of_a_file_are_the_file(text: str) -> None:
    assert "".join(entry.raw for entry in properties.entries(text)) == text
    assert properties.merge(text, {}) == text


@given(TEXTS, st.dictionaries(KEYS, VALUES, max_size=4))
@example("1\\\n", {"0": ""})
def test_merged_keys_have_their_values_and_foreign_lines_stay_byte_for_byte(
    text: str, wanted: dict[str, str | None]
) -> None:
    merged = properties.merge(text, wanted)
    found, before = properties.read(merged), properties.read(text)
    assert {key: found.get(key) for key in wanted} == wanted
    assert {k: v for k, v in found.items() if k not in wanted} == {
        k: v for k, v in before.items() if k not in wanted
    }
    foreign = [e.raw for e in properties.entries(text) if e.key not in wanted]
    left = [e.raw for e in properties.entries(merged) if e.key not in wanted]
    # A last line without an end gets one when something follows it.
    assert left[:-1] == foreign[:-1]
    assert properties.merge(merged, wanted) == merged
    merged.encode("latin-1")


def test_only_a_server_without_data_is_told_to_be_empty_and_closed() -> None:
    fresh = properties_file(server(), Data())
    assert fresh.why == (
        "nexus.properties: nexus.skipDefaultRepositories none -> 'true'",
        "nexus.properties: nexus.security.default.anonymous none -> 'false'",
    )
    assert fresh.before == "-"
    assert properties.read(fresh.text) == FIRST
    assert properties_file(server(), Data(used=True)).why == ()


def test_a_context_path_is_written_and_taken_away_again() -> None:
    used = Data(used=True, properties="nexus-context-path=/old\n")
    assert properties_file(server(context_path="/old"), used).why == ()
    (why,) = properties_file(server(), used).why
    assert why == "nexus.properties: nexus-context-path '/old' -> '/'"
    assert properties_file(server(), Data(used=True, properties="")).why == ()


def test_a_password_among_the_properties_is_not_shown() -> None:
    used = Data(used=True, properties="x.password=needle\n")
    file = properties_file(server(properties={"x.password": "other-needle"}), used)
    assert file.why == ("nexus.properties: x.password (hidden) -> (hidden)",)
    assert "needle" not in f"{used!r} {file!r}"
    assert "needle" in file.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nexus.datastore.nexus.jdbcUrl", "jdbc:postgresql://db/nexus?user=n&password=needle"),
        ("nexus.ssl.passphrase", "needle"),
        ("proxy.url", "http://us:needle@proxy.example:3128"),
    ],
)
def test_a_password_inside_a_value_of_the_properties_is_not_shown(key: str, value: str) -> None:
    used = Data(used=True, properties=f"{key}={value}-old\n")
    file = properties_file(server(properties={key: value}), used)
    assert file.why == (f"nexus.properties: {key} (hidden) -> (hidden)",)


# Settings


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"imagge": "x"}, "did you mean 'image'"),
        ({"image": "Nexus:3"}, "an image as 'redis:8'"),
        ({"address": "localhost"}, "does not appear to be an IPv4 or IPv6 address"),
        ({"data": "a/b"}, "the name of a volume, or the absolute path"),
        ({"data": "/srv/../x"}, "an absolute path"),
        ({"context_path": "nexus"}, "a path as '/nexus'"),
        ({"context_path": "/nexus/"}, "a path as '/nexus'"),
        ({"heap": "2 gig"}, "a size is a number"),
        ({"java_options": ["-Xmx4g"]}, "that is 'heap'"),
        ({"java_options": ["-Da=b c"]}, "each is one word"),
        ({"properties": {"application-port": "80"}}, "the port on the host is 'port'"),
        ({"properties": {"nexus.security.randompassword": "false"}}, "everybody knows it"),
        ({"memory": "2g", "heap": "1g", "direct_memory": "1g"}, "would be killed"),
        ({"data_version": "three"}, "a version as '3.30.0'"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_their_key(
    fields: dict[str, Any], text: str
) -> None:
    with pytest.raises(SettingsError, match=text) as caught:
        server(**fields)
    assert f"nexus.container.{next(iter(fields))}" in str(caught.value) or "memory" in fields


def test_the_container_listens_on_this_host_alone_unless_told_otherwise() -> None:
    (port,) = container(server(), Memory(GIB, GIB)).ports
    assert (port.address, port.host, port.container) == ("127.0.0.1", 28081, 8081)
    (port,) = container(server(address="10.0.0.1", port=80), Memory(GIB, GIB)).ports
    assert (port.address, port.host) == ("10.0.0.1", 80)


def test_the_container_is_given_time_to_close_its_database_and_is_asked_whether_it_writes() -> None:
    it = container(server(context_path="/nexus"), Memory(GIB, GIB))
    assert (it.stop_timeout, it.stateful, it.ulimits["nofile"].soft) == (120, True, 65536)
    assert it.health.http is not None
    assert it.health.http.path == "/nexus/service/rest/v1/status/writable"
    (mount,) = it.mounts
    assert (mount.volume, mount.target) == ("nexus-data", "/nexus-data")
    (mount,) = container(server(data="/srv/nexus"), Memory(GIB, GIB)).mounts
    assert (mount.source, mount.target) == ("/srv/nexus", "/nexus-data")


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "http://127.0.0.1:28081"),
        ({"address": "0.0.0.0", "context_path": "/n"}, "http://127.0.0.1:28081/n"),  # noqa: S104
        ({"address": "::", "port": 1}, "http://[::1]:1"),
        ({"address": "10.0.0.1"}, "http://10.0.0.1:28081"),
    ],
)
def test_the_host_reaches_it_at_its_own_address(fields: dict[str, Any], url: str) -> None:
    assert server(**fields).url == url


@pytest.mark.parametrize(("host", "each"), [(1, "512m"), (8, "2g"), (16, "4g"), (64, "4g")])
def test_java_gets_a_quarter_of_the_hosts_memory_each_within_bounds(host: int, each: str) -> None:
    found = memory(server(), host * GIB)
    assert found == Memory(memory_bytes(each), memory_bytes(each))
    assert memory(server(heap="1g"), host * GIB).heap == GIB


def test_a_host_with_a_little_more_memory_does_not_restart_it_and_a_doubled_one_does() -> None:
    java = memory(server(), 8 * GIB)
    has = {"Config": {"Env": [f"{JAVA_OPTIONS}=" + container(server(), java).environment[
        JAVA_OPTIONS]]}}  # fmt: skip
    assert memory_of(has) == java
    assert memory(server(), int(8.9 * GIB), java) == java
    assert memory(server(), 16 * GIB, java) == Memory(4 * GIB, 4 * GIB)
    assert memory_of(None) is None
    assert memory_of({"Config": {"Env": ["INSTALL4J_ADD_VM_PARAMS=-Xmx1g"]}}) is None


# Which image fits the data


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3.30.0", (3, 30, 0)),
        ("3.30.0-01", (3, 30, 0)),
        ("3.70.3-java11-ubi", (3, 70, 3)),
        ("3.85.0-alpine", (3, 85, 0)),
        ("latest", None),
        ("3", None),
        ("3.85", None),
        ("2.15.1", None),
        ("3.30.0.1", None),
        ("3.30.01x", (3, 30, 1)),
    ],
)
def test_a_version_is_read_from_a_tag(text: str, found: object) -> None:
    assert number(text) == found


def step(wanted: str, current: str, *databases: str) -> Step:
    return Step(f"nexus:{wanted}", number(wanted), number(current), databases)


@pytest.mark.parametrize(
    ("it", "text"),
    [
        (step("3.29.2", "3.30.0", *ORIENT), "is older: .* Keep 3.30.0 or newer"),
        (step("3.71.0", "3.30.0", *ORIENT), "OrientDB.*latest 3.70.*migrator.*Java 17"),
        (step("3.85.0", "3.70.4", *ORIENT), "OrientDB"),
        (step("3.71.0", "3.69.0", H2), "format changed with 3.70.*Export SQL"),
        (step("latest", "3.30.0", *ORIENT), "does not say which version.*@sha256"),
        (step("3.30.0", "", *ORIENT), "start it once as it ran before, or set data_version"),
    ],
)
def test_an_image_that_does_not_fit_the_data_is_refused_with_the_way(it: Step, text: str) -> None:
    assert re.search(text, refusal(it))


@pytest.mark.parametrize(
    "it",
    [
        step("3.30.0", "3.29.2", *ORIENT),
        step("3.30.0", "3.30.0", *ORIENT),
        step("3.70.4", "3.30.0", *ORIENT),
        # The migrator leaves the folders of before.
        step("3.71.0", "3.70.4", H2, *ORIENT),
        step("3.85.0", "3.71.0", H2),
        # PostgreSQL: nothing is below db.
        step("3.85.0", "3.77.0"),
    ],
)
def test_an_image_that_fits_the_data_is_taken(it: Step) -> None:
    assert refusal(it) == ""


def test_limits_that_change_on_the_way_are_said() -> None:
    both = remarks(step("3.87.0", "3.71.0", H2))
    assert ["accepted" in both[0], "40,000" in both[1]] == [True, True]
    assert len(remarks(step("3.86.0", "3.71.0", H2))) == 1
    assert remarks(step("3.86.0", "3.77.0", H2)) == []
    assert remarks(step("3.88.0", "3.87.0", H2)) == []
    assert remarks(step("latest", "3.30.0")) == []


# What the host says


def test_a_host_without_the_data_has_nothing_to_be_afraid_of() -> None:
    found = parse(["nexus-memory 8388608", "end"])
    assert found == Data(host_memory=8 * GIB)
    assert found.owned


def test_data_are_read_with_their_owner_database_and_properties() -> None:
    text = base64.b64encode("a=\xe9\n".encode("latin-1")).decode()
    found = parse(
        [
            "docker yes",
            "nexus-memory 1024",
            "nexus-owner 200:200",
            "nexus-foreign 0",
            "nexus-databases OSystem component config security",
            "nexus-used yes",
            f"nexus-properties {text}",
            "end",
        ]
    )
    assert found.databases >= ORIENT
    assert (found.used, found.owned, found.properties) == (True, True, "a=\xe9\n")


@pytest.mark.parametrize(
    "lines",
    [
        ["nexus-owner 0:0"],
        ["nexus-owner 200:200", "nexus-foreign 3"],
        ["nexus-owner 200:200", "nexus-open yes"],
    ],
)
def test_data_of_somebody_else_are_noticed(lines: list[str]) -> None:
    assert not parse(lines).owned


def test_a_server_that_answers_says_more_than_its_traces() -> None:
    lines = ["logged 3.30.0-01", "cached 3.71.0-06", "image 3.29.2-02", "end"]
    found = parse_traces(lines)
    assert (found.current, found.wanted) == ((3, 71, 0), (3, 29, 2))
    assert parse_traces(["serves 3.30.0-01", *lines]).current == (3, 30, 0)
    assert parse_traces(["end"]).current is None
    with pytest.raises(ValueError, match="did not reach its end"):
        parse_traces(["serves 3.30.0-01"])
