"""HAProxy: its configuration, which slot it names, and what is done about it."""

from __future__ import annotations

import base64
import os
import secrets
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.facts.haproxy import Haproxy as Fact
from uplift.operations import haproxy as operation
from uplift.secrets import Secret, SecretRef
from uplift.spec.app import SLOTS, App
from uplift.spec.container import listening
from uplift.spec.errors import SettingsError
from uplift.spec.haproxy import Haproxy, backend
from uplift.spec.haproxy.backend import Backend
from uplift.spec.haproxy.config import page, render, rules
from uplift.spec.haproxy.models import CONFIG, PAGE
from uplift.spec.haproxy.ports import binds, taken
from uplift.spec.haproxy.slots import active_slots, running_slots
from uplift.spec.haproxy.state import HaproxyState, Refused, parse, plan
from uplift.spec.haproxy.told import differences
from uplift.spec.seen import parts

TEMPLATE = (Path(__file__).parents[2] / "templates/haproxy.cfg.j2").read_text()
MAINTENANCE = "    # Whatever serves: nobody gets to it until the settings say otherwise.\n"


def app(name: str = "console", **fields: Any) -> App:
    """An application behind HAProxy."""
    block = {"name": name, "image": "console:1", "port": 8000, "slot_ports": [18001, 18002]}
    return App.parse({**block, "routes": [{}], **fields}, path="apps")


def haproxy(**fields: Any) -> Haproxy:
    """HAProxy as settings say."""
    return Haproxy.parse(fields, path="haproxy")


def text(*apps: App, **active: str) -> str:
    """The configuration."""
    return render(haproxy(), TEMPLATE, apps, active)


@given(st.dictionaries(st.sampled_from(["aa", "bb", "cc"]), st.sampled_from(["", *SLOTS])))
def test_the_slots_that_a_configuration_names_are_read_back_from_it(named: dict[str, str]) -> None:
    apps = [app(name, slot_ports=[1000 + i, 2000 + i]) for i, name in enumerate(named)]
    wanted = {name: slot for name, slot in named.items() if slot}
    assert active_slots(render(haproxy(), TEMPLATE, apps, wanted)) == wanted


PATHS = st.from_regex(r"/[\x21-\x7e]*", fullmatch=True)
PORTS = st.integers(1, 65535)
BACKENDS = st.builds(
    Backend, PATHS, st.sampled_from(["200", "200,204", "100-599"]), st.tuples(PORTS, PORTS)
)


@given(BACKENDS, st.sampled_from(SLOTS))
def test_a_backend_is_read_back_from_the_configuration_of_what_serves(
    serves: Backend, slot: str
) -> None:
    config = render(
        haproxy(), TEMPLATE, [app(), app("web", routes=[])], {"console": slot}, {"console": serves}
    )
    assert backend.parse(config) == {"console": serves, "web": Backend.of(app("web", routes=[]))}
    # Where nobody serves, the settings say how the first one is reached.
    assert HaproxyState(config=config).backends == {"console": serves}


def test_a_backend_of_another_template_is_left_to_the_settings() -> None:
    config = text(app(), console="blue").replace("option httpchk GET", "option httpchk HEAD")
    assert backend.parse(config) == {}


def test_between_two_releases_each_has_its_port_and_any_answer_is_up() -> None:
    before, after = Backend("/up", "200", (1, 2)), Backend("/readyz", "204", (3, 4))
    assert before.between(after, "green") == Backend("/readyz", "100-599", (1, 4))
    assert before.between(after, "blue") == Backend("/readyz", "100-599", (3, 2))


def test_the_spare_of_a_slot_never_counts_as_the_one_that_serves() -> None:
    config = text(app(), console="blue").replace(
        "server green-spare 127.0.0.1:18002 check backup disabled",
        "server green-spare 127.0.0.1:18002 check backup",
    )
    assert active_slots(config) == {"console": "blue"}


def test_the_narrowest_route_comes_first_and_a_path_is_not_its_neighbours() -> None:
    found = rules(
        [
            app("web", routes=[{"host": "example.org"}]),
            app("api", routes=[{"host": "example.org", "path": "/api"}]),
            app("any", routes=[{"path": "/tool/"}]),
        ]
    )
    assert [rule.backend for rule in found] == ["api", "api", "web", "any", "any"]
    assert [rule.condition for rule in found[:2]] == [
        " { req.hdr(host),field(1,:) -i example.org } { path /api }",
        " { req.hdr(host),field(1,:) -i example.org } { path_beg /api/ }",
    ]


def test_haproxy_asks_what_the_host_asks() -> None:
    found = text(app(ready={"http": {"port": 8000, "path": "/up", "status": [200, 204]}}))
    assert "option httpchk GET /up\n    http-check expect status 200,204\n" in found


@pytest.mark.parametrize(
    "other", [{"port": 9000}, {"bearer": {"secret": "console/probe"}}, {"scheme": "https"}]
)
def test_where_haproxy_cannot_ask_the_same_any_answer_will_do(other: dict[str, Any]) -> None:
    # It reaches the one port that is published, and has no token: it would see a good one as down.
    found = text(app(ready={"http": {"port": 8000, "path": "/up", **other}}))
    assert "option httpchk GET /\n    http-check expect status 100-599\n" in found


def test_what_no_rule_names_goes_to_the_application_of_any_host_and_path() -> None:
    assert "default_backend console\n" in text(app())
    assert "default_backend uplift-nobody\n" in text(app(routes=[{"host": "a.example"}]))


def test_a_template_with_an_unknown_word_names_its_file() -> None:
    with pytest.raises(SettingsError, match=r"haproxy\.cfg\.j2: 'nothing' is undefined"):
        render(haproxy(), "{{ nothing }}", [], {})


def test_a_certificate_is_text_of_the_settings_or_a_file(tmp_path: Path) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
    (tmp_path / "site.pem").write_text(pem)
    key = Secret("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operation, "require", lambda _: {SecretRef(secret="site/key"): key})
        for given in (pem, str(tmp_path / "site.pem")):
            block = {"certificate": given, "key": {"secret": "site/key"}}
            found = operation.certificates(haproxy(certificates={"site": block}))
            assert found == {"site.pem": f"{pem}{key.reveal()}\n"}


def test_the_maintenance_page_is_a_whole_answer() -> None:
    head, _, body = page("<p>ü</p>").partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 503 ")
    assert f"Content-Length: {len(body.encode())}" in head


def test_one_application_in_maintenance_answers_nobody_and_its_slots_stay() -> None:
    line = "    http-request return status 503 default-errorfiles\n"
    found = text(app(maintenance=True), console="green")
    assert found.replace(line, "").replace(MAINTENANCE, "") == text(app(), console="green")
    assert found.index("backend console\n") < found.index(line)


STATES = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state …
5 console 1 blue 127.0.0.1 0 5 1 1 60 17 2 0 14 0
5 console 2 green 127.0.0.1 2 4 1 1 23 15 3 2 6 0
5 console 3 blue-spare 127.0.0.1 2 12 1 1 23 15 3 2 6 0
"""


def test_a_server_that_was_configured_disabled_and_made_ready_is_ready() -> None:
    slots = running_slots(STATES)["console"]
    assert slots == {"blue": "maint", "green": "ready", "blue-spare": "drain"}


LINES = [
    "busy",
    "apt /usr/bin/apt-get",
    "package haproxy installed",
    "package socat",
    "original 0123",
    "sum 0123",
    "unit inactive enabled",
    "end",
]


def test_what_a_host_says_is_understood() -> None:
    state = parse(LINES)
    assert state.missing == ("socat",)
    assert state.original
    assert (state.active, state.enabled) == (False, True)


def test_files_that_a_change_wrote_and_did_not_come_to_load_are_loaded() -> None:
    config = text(app(), console="green")
    config64 = base64.b64encode(config.encode()).decode()
    page64 = base64.b64encode(page(None).encode()).decode()
    lines = (
        "\n".join(LINES)
        .replace("socat", "socat installed")
        .replace("inactive", "active")
        .split("\n")
    )
    lines[-1:] = [f"config {config64}", f"page {page64}", "changing", "end"]
    todo = plan(haproxy(), parse(lines), config, page(None), {}, "salt")
    assert todo.why == ("loaded, which a change that was cut off had left out",)
    assert todo.restarts == ("haproxy (reloaded)",)


def test_a_script_that_was_cut_off_is_an_error() -> None:
    with pytest.raises(ValueError, match="did not reach its end"):
        parse(LINES[:-1])


def test_somebody_elses_configuration_is_refused_until_it_may_be_replaced() -> None:
    state = HaproxyState(config="frontend mine\n", active=True, enabled=True)
    with pytest.raises(Refused, match=r"somebody else's: set haproxy\.replace to True"):
        plan(haproxy(), state, "new", page(None), {}, "salt")
    todo = plan(haproxy(replace=True), state, "new", page(None), {}, "salt")
    assert todo.foreign


def test_the_distributions_own_configuration_is_replaced() -> None:
    state = HaproxyState(config="global\n", original=True, active=True, enabled=True)
    todo = plan(haproxy(), state, "new", page(None), {}, "salt")
    assert todo.why == ("configuration", "maintenance page")
    assert not todo.foreign


def test_nothing_is_done_when_all_is_as_wanted() -> None:
    config = text(app(), console="green")
    state = HaproxyState(config=config, page=page(None), active=True, enabled=True)
    assert plan(haproxy(), state, config, page(None), {}, "salt").why == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"binds": [{"port": 443, "tls": True}]}, "one with tls needs certificates"),
        ({"binds": [{"port": 80}, {"port": 80}]}, "each address and port once"),
        ({"bind": []}, "did you mean 'binds'"),
    ],
)
def test_wrong_settings_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        haproxy(**fields)


def test_a_change_names_the_haproxy_that_it_loads_anew_and_none_where_none_runs() -> None:
    for active, restarts in ((True, ("haproxy (reloaded)",)), (False, ())):
        todo = plan(haproxy(), HaproxyState(active=active), "new", page(None), {}, "salt")
        assert todo.restarts == restarts


ANY = "0.0.0.0"  # noqa: S104 - where others listen


def listeners(*given: tuple[str, int, str]) -> tuple[listening.Listener, ...]:
    """Who listens by TCP, as a host's fact has it."""
    return tuple(listening.Listener("tcp", *one) for one in given)


@pytest.mark.parametrize(
    ("block", "there", "who"),
    [
        ({}, (ANY, 80, "nginx"), "0.0.0.0:80/tcp .nginx."),
        ({}, ("*", 80, "apache2"), "apache2"),
        ({}, ("127.0.0.1", 80, ""), "not known by whom"),
        ({}, ("::1", 80, "nginx"), ""),
        ({}, ("10.0.0.5", 80, "nginx"), ""),
        ({}, (ANY, 81, "nginx"), ""),
        # The statistics are HAProxy's as well.
        ({}, ("127.0.0.1", 8404, "python3"), "8404/tcp .python3."),
        ({"statistics_port": 8405}, ("127.0.0.1", 8404, "python3"), ""),
        ({"binds": [{"address": "*", "port": 80}]}, ("10.0.0.5", 80, "nginx"), "nginx"),
        ({"binds": [{"address": "*", "port": 80}]}, ("::", 80, "nginx"), ""),
        ({"binds": [{"address": "::", "port": 80}]}, (ANY, 80, "nginx"), "nginx"),
        ({"binds": [{"address": "FD00:0::1", "port": 80}]}, ("fd00::1", 80, "nginx"), "nginx"),
    ],
)
def test_a_port_that_somebody_else_has_is_refused_before_anything_changes(
    block: dict[str, Any], there: tuple[str, int, str], who: str
) -> None:
    config = render(haproxy(**block), TEMPLATE, [], {})
    state = HaproxyState(listeners=listeners(there))
    if not who:
        assert plan(haproxy(**block), state, config, page(None), {}, "salt").why
        return
    with pytest.raises(Refused, match=f"somebody else listens on .*{who}.*nothing was touched"):
        plan(haproxy(**block), state, config, page(None), {}, "salt")


def test_ports_of_the_running_haproxy_are_its_own() -> None:
    before, wanted = text(app()), text(app(), console="green")
    own = listeners(("127.0.0.1", 80, "haproxy"), ("127.0.0.1", 8404, "haproxy"))
    # Without rights to look, ss says of no socket whose it is.
    unknown = listeners(("127.0.0.1", 80, ""))
    for there in (own, unknown):
        state = HaproxyState(config=before, active=True, enabled=True, listeners=there)
        assert "configuration" in plan(haproxy(), state, wanted, page(None), {}, "salt").why
    stopped = HaproxyState(config=before, enabled=True, listeners=unknown)
    with pytest.raises(Refused, match="not known by whom"):
        plan(haproxy(), stopped, wanted, page(None), {}, "salt")


def test_a_new_port_of_a_running_haproxy_must_be_free() -> None:
    before = text(app())
    wanted = before.replace("bind 127.0.0.1:80\n", "bind 127.0.0.1:81\n")
    there = listeners(("127.0.0.1", 80, "haproxy"), ("127.0.0.1", 81, "nginx"))
    state = HaproxyState(config=before, page=page(None), active=True, enabled=True, listeners=there)
    with pytest.raises(Refused, match=r"listens on 127\.0\.0\.1:81/tcp \(nginx\); nothing"):
        plan(haproxy(), state, wanted, page(None), {}, "salt")
    # Where nothing is to be done, nobody is in the way.
    assert plan(haproxy(), state, before, page(None), {}, "salt").why == ()


def test_a_template_of_other_words_is_asked_where_it_listens() -> None:
    config = """
frontend a
    bind :80,10.0.0.5:81 name x
    bind [::]:82 v6only
    bind unix@/run/x.sock
    bind 10.0.0.5:90-95
    # bind 10.0.0.5:99
    bindings 10.0.0.5:98
"""
    assert binds(config) == {(ANY, 80), ("10.0.0.5", 81), ("::", 82)}


@given(st.text())
def test_whatever_a_template_says_of_ports_is_read_without_an_error(words: str) -> None:
    assert taken(f"    bind {words}", ()) == []


def test_who_listens_is_read_with_the_rest_and_makes_no_plan_an_old_one() -> None:
    assert "ss -Hltunp" in Fact().command().get_raw_value()
    ss = 'tcp LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=9,fd=4))\n'
    state = parse([f"listening {base64.b64encode(ss.encode()).decode()}", *LINES])
    assert state.listeners == listeners((ANY, 80, "nginx"))
    alone = parse(["listening", *LINES])
    assert alone.listeners == ()
    assert parts(alone, b"k" * 32) == parts(state, b"k" * 32)
    assert repr(alone) == repr(state)


MODES = {CONFIG: "644", PAGE: "644"}


def test_lines_that_change_in_the_configuration_and_the_page_are_told() -> None:
    before, wanted = text(app()), render(haproxy(timeouts={"client": 7}), TEMPLATE, [app()], {})
    state = HaproxyState(config=before, page=page("<p>a</p>\n"), modes=MODES)
    config, html = differences(state, wanted, page("<p>b</p>\n"), [])
    assert config.startswith(f"{CONFIG}: modified\n  @@ ")
    assert [line for line in config.splitlines() if line.startswith(("  -", "  +"))] == [
        "  -    timeout client 30s",
        "  +    timeout client 7s",
    ]
    assert html.startswith(f"{PAGE}: modified\n") and html.endswith("  -<p>a</p>\n  +<p>b</p>")
    # One that is as wanted says nothing, and neither does a first one: all of it is new.
    assert differences(state, before, state.page or "", []) == []
    assert differences(HaproxyState(), wanted, page(None), []) == []


def test_no_secret_is_told_of_what_was_or_will_be_in_the_configuration() -> None:
    word = secrets.token_hex(8)
    line = f"    stats auth ada:{word}\n"
    for state, wanted in (
        (HaproxyState(config="global\n", modes=MODES), f"global\n{line}"),
        (HaproxyState(config=f"global\n{line}", modes=MODES), "global\n"),
    ):
        said = [f"{CONFIG}: modified; not shown: a secret stands in it"]
        assert differences(state, wanted, page(None), [word]) == said
    # Somebody else's, which not everybody may read, has secrets that uplift does not know.
    for modes in ({CONFIG: "640"}, {}):
        (said_of,) = differences(HaproxyState(config=line, modes=modes), "new\n", "", [])
        assert said_of.endswith("modified; not shown: not every user of the host may read it")


def test_a_host_is_read_with_its_modes_and_who_listens(tmp_path: Path) -> None:
    place, bin = tmp_path / "haproxy", tmp_path / "bin"
    place.mkdir()
    bin.mkdir()
    for name, mode in (("haproxy.cfg", 0o640), ("uplift-503.http", 0o644)):
        (place / name).write_text(f"{name}\n")
        (place / name).chmod(mode)
    ss = 'tcp LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=9,fd=4))'
    for name, said in {"ss": f"echo '{ss}'", "systemctl": "exit 3"}.items():
        (bin / name).write_text(f"#!/bin/sh\n{said}\n")
        (bin / name).chmod(0o755)
    script = shlex.split(Fact().command().get_raw_value())[2].replace("/etc/haproxy", str(place))
    done = subprocess.run(
        ["dash", "-c", script],
        env={**os.environ, "PATH": f"{bin}:{os.environ['PATH']}"},
        input="salt\n",
        text=True,
        capture_output=True,
        check=True,
    )
    state = parse(done.stdout.splitlines())
    assert (state.config, state.page) == ("haproxy.cfg\n", "uplift-503.http\n")
    assert {Path(path).name: mode for path, mode in state.modes.items()} == {
        "haproxy.cfg": "640",
        "uplift-503.http": "644",
    }
    assert state.listeners == listeners((ANY, 80, "nginx"))
