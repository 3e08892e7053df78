"""Scripts of applications and HAProxy: shells understand them, secrets stay out of sight."""

from __future__ import annotations

import base64
import re
import secrets
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.config import Config
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State as PyinfraState
from pyinfra.context import ctx_host, ctx_state

from uplift.apps import command, logs
from uplift.facts import app as facts
from uplift.facts import schema
from uplift.facts.haproxy import Haproxy
from uplift.operations import app as app_operation
from uplift.operations import (
    app_forget,
    app_jobs,
    app_removal,
    app_script,
    app_steps,
    app_ways,
    haproxy,
    script,
)
from uplift.secrets import Secret, SecretRef
from uplift.spec.app import App
from uplift.spec.app.foreign import HostImage
from uplift.spec.app.jobs import JobsState
from uplift.spec.app.plan import Todo
from uplift.spec.app.release import NotFoundError, Release
from uplift.spec.app.state import AppState
from uplift.spec.container.image import Resolved
from uplift.spec.container.plan import Plan
from uplift.spec.container.state import State
from uplift.spec.haproxy.backend import Backend
from uplift.spec.haproxy.models import CONFIG, PAGE
from uplift.spec.haproxy.state import HaproxyState
from uplift.spec.haproxy.state import Todo as HaproxyTodo
from uplift.spec.images.listing import Tagged

WORD = secrets.token_hex(12)
REF = SecretRef(secret="console/drain")


def app(**fields: Any) -> App:
    """An application with a token."""
    block = {"name": "console", "image": "console:2", "drain": {"path": "/drain", "token": REF}}
    return App.parse({**block, **fields}, path="apps")


def text(it: App, todo: Todo) -> str:
    """The script of a plan."""
    state = State(docker=True, resolved={it.image: Resolved(it.image, "local", local="sha256:1")})
    values = {REF: Secret(WORD)}
    return app_script.render(it, todo, state, values, release="1", record="{}")


@pytest.mark.parametrize("shell", [["dash", "-n"], ["bash", "-n"]])
@pytest.mark.parametrize(
    ("it", "action"),
    [
        (app(port=8000, slot_ports=[18001, 18002]), "switch"),
        (app(port=8000, slot_ports=[18001, 18002]), "mend"),
        (app(port=8000, slot_ports=[18001, 18002]), "tidy"),
        (app(proxy="none"), "replace"),
        (app(proxy="none"), "mend"),
    ],
)
def test_shells_understand_what_is_done(it: App, action: Any, shell: list[str]) -> None:
    todo = Todo(action, "blue", "green", Plan("replace", ("image",)), ("image",), files=True)
    todo = replace(todo, backend=Backend("/it's", "200", (18001, 18002)))
    done = subprocess.run(shell, input=text(it, todo), text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_token_stands_nowhere_in_the_script_as_it_is() -> None:
    it = app(port=8000, slot_ports=[18001, 18002])
    found = text(it, Todo("switch", "blue", "green", Plan("create")))
    assert WORD not in found
    assert "write_record" in found


def test_a_token_with_a_quote_stays_one_header() -> None:
    it = app(port=8000, slot_ports=[18001, 18002])
    header = base64.b64decode(app_script._header(it, {REF: Secret('a"b\\c')})).decode()
    assert header == 'header = "Authorization: Bearer a\\"b\\\\c"'


def test_without_a_proxy_haproxy_is_not_spoken_to() -> None:
    found = text(app(proxy="none"), Todo("replace", "blue", "", Plan("create")))
    assert "haproxy" not in found


def test_haproxys_script_gives_the_old_files_back_when_the_new_ones_are_refused() -> None:
    todo = HaproxyTodo(("configuration",), ("haproxy", "socat"), foreign=True)
    found = haproxy._script(todo, HaproxyState(), "config", "page", {"a.pem": WORD})
    done = subprocess.run(["dash", "-n"], input=found, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert WORD not in found
    assert "the one before stays" in found


def test_lines_that_change_in_haproxys_files_are_told_below_what_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(haproxy, "resolved", lambda: [Secret(WORD)])
    state = HaproxyState(config="a 1\n", page=f"{WORD}\n", modes={CONFIG: "644", PAGE: "644"})
    todo = HaproxyTodo(("configuration", "maintenance page"))
    assert haproxy._told(todo, state, "a 2\n", "page\n").splitlines() == [
        "HAProxy: configuration, maintenance page",
        f"HAProxy: {CONFIG}: modified",
        "  @@ -1 +1 @@",
        "  -a 1",
        "  +a 2",
        f"HAProxy: {PAGE}: modified; not shown: a secret stands in it",
    ]


def test_shells_understand_jobs_and_their_secrets_stay_out_of_sight() -> None:
    job = {"name": "migrate", "command": ["migrate"], "environment": {"TOKEN": REF}}
    given = app(proxy="none", jobs=[job], files={"a": {"content": "x"}}, expose_in_environment=True)
    resolved = Resolved(given.image, "local", local="sha256:1")
    state = State(docker=True, resolved={given.image: resolved})
    found = app_jobs._text(given, given.jobs[0], state, {REF: Secret(WORD)})
    assert WORD not in found
    assert understood(found) == (0, "")


@pytest.mark.parametrize(
    "script",
    [
        app_removal.placed(app_removal.FOUND),
        app_removal.placed(app_removal.REMOVAL),
        facts.READ,
        schema.SCHEMA,
        facts.Jobs().command(["console"]).get_raw_value(),
        logs._LOGS,
        command._EXEC,
    ],
)
def test_shells_understand_what_is_read_and_removed(script: str) -> None:
    assert understood(script) == (0, "")
    assert "@" not in script.replace("$@", "").replace("@!", "").replace("@- ", "")


@pytest.mark.parametrize(
    "script",
    [facts.READ, Haproxy().command().get_raw_value(), app_removal.placed(app_removal.REMOVAL)],
)
def test_what_names_the_slots_is_read_when_nobody_changes_it(script: str) -> None:
    # Both a switch and a new configuration write haproxy.cfg, each from what it read of it.
    assert {"uplift-app-*.service", "uplift-haproxy-*.service"} <= set(
        re.findall(r"uplift-[a-z]+-\*\.service", script)
    )


def understood(script: str) -> tuple[int, str]:
    """Let a shell read a script."""
    done = subprocess.run(["dash", "-n"], input=script, text=True, capture_output=True, check=False)
    return done.returncode, done.stderr


def test_the_one_of_before_is_told_by_the_path_and_the_token_that_it_knows() -> None:
    it = app(port=8000, slot_ports=[18001, 18002])
    before = {"name": "console", "image": "console:1", "port": 9000, "slot_ports": [18001, 18002]}
    token = {"path": "/old/drain", "token": {"secret": "console/old"}}
    retiring = Release(
        "1", {**before, "drain": token}, "console:1", "", secrets={"console/old": "3"}
    )
    state = State(docker=True, resolved={it.image: Resolved(it.image, "local", local="sha256:1")})
    found = app_script.render(
        it,
        Todo("switch", "blue", "green", Plan("create")),
        state,
        {REF: Secret(WORD)},
        release="2",
        record="{}",
        retiring=retiring,
    )
    assert "drain_path=/old/drain\n" in found
    assert "http_port_of_app=9000\n" in found
    assert "drain_token=/var/lib/uplift/releases/console/1/secrets/3\n" in found
    assert understood(found) == (0, "")


def test_own_files_that_change_with_a_release_are_told_below_what_else_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    was, wanted = (app(drain={}, proxy="none", files={"a": {"content": t}}) for t in ("1\n", "2\n"))
    settings = was.model_dump(mode="json", exclude_defaults=True)
    serves = Release("20260101T000000Z-1", settings, "console:1", "", outcome="good")
    found = AppState(releases={"console": (serves,)})
    todo = Todo("replace", "blue", "", Plan("replace"), ("image",))
    assert app_operation._told(wanted, todo, None, found, {}).splitlines() == [
        "console: image",
        "console: /etc/app/a: modified",
        "  @@ -1 +1 @@",
        "  -1",
        "  +2",
    ]
    # A difference is one event: of two equal lines in it none is lost.
    events: list[str] = []
    monkeypatch.setattr(script, "tell", lambda host, kind, text, **more: events.append(text))
    script._tell_change(app_operation._told(wanted, todo, None, found, {}), done=True)
    told = ["console: image", "console: /etc/app/a: modified\n  @@ -1 +1 @@\n  -1\n  +2"]
    assert events == told
    script._tell_change("a: 1\na: 2\n", done=True)
    assert events[len(told) :] == ["a: 1", "a: 2"]
    # What somebody has edited is only restored.
    mended = Todo("mend", "blue", "", Plan("mend"), ("files restored: a",))
    assert app_operation._told(wanted, mended, None, found, {}) == "console: files restored: a"


def test_records_and_images_that_go_with_a_new_release_are_named_before() -> None:
    it = app(drain={}, proxy="none", keep={"images": 2})
    there = tuple(
        Release(
            f"2026010{number}T000000Z-{number}",
            it.model_dump(mode="json", exclude_defaults=True),
            f"console:{number}",
            f"sha256:{str(number) * 64}",
            local=f"sha256:{number}{'0' * 63}",
            outcome="good",
        )
        for number in (1, 2, 3)
    )
    resolved = Resolved(it.image, "registry", "sha256:" + "4" * 64)
    state = State(docker=True, resolved={it.image: resolved})
    found = AppState(releases={"console": there})
    todo = Todo("replace", "blue", "", Plan("create"))
    gone = app_operation._removed(it, todo, state, found, {}, b"k" * 32)
    assert gone == [
        *(f"release {one.words}" for one in there[:2]),
        "image sha256:10000000…",
        "image sha256:20000000…",
    ]
    assert (
        app_operation._removed(it, Todo("mend", "blue", "", Plan("mend")), state, found, {}, b"")
        == []
    )


def test_one_of_before_that_wants_no_token_gets_none() -> None:
    it = app(port=8000, slot_ports=[18001, 18002])
    before = {"name": "console", "image": "console:1", "port": 9000, "slot_ports": [18001, 18002]}
    retiring = Release("1", {**before, "drain": {"path": "/old"}}, "console:1", "")
    said = app_script._draining(it, {REF: Secret(WORD)}, retiring)
    assert (said["drain_path"], said["drain_header"], said["drain_token"]) == ("/old", "", "")


def test_jobs_are_refused_where_there_is_no_docker_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    it = app(proxy="none", drain={}, jobs=[{"name": "migrate", "command": ["migrate"]}])
    monkeypatch.setattr(app_jobs.container, "read", lambda wanted: State(docker=False))
    monkeypatch.setattr(
        app_jobs, "read_quietly", lambda host, fact, **given: JobsState("", frozenset())
    )
    state = PyinfraState(Inventory((["@fake/box"], {})), Config())
    with ctx_state.use(state), ctx_host.use(state.inventory.get_host("@fake/box")):
        (refused,) = app_jobs.jobs_done._inner([it])
    assert "there is no Docker Engine that answers" in str(refused)


LEFT = "sha256:" + "a" * 64


def asked(monkeypatch: pytest.MonkeyPatch, resolved: Resolved, to: str, it: App) -> Any:
    """Look for the way back on a host without records, where images are resolved so."""
    found = AppState()
    monkeypatch.setattr(app_ways, "read", lambda apps: found)
    monkeypatch.setattr(app_ways, "_FOUND", {})
    monkeypatch.setattr(
        app_ways.container,
        "read",
        lambda wanted: State(docker=True, resolved={wanted[0].image: resolved}),
    )
    return app_ways.way_back(it, to)


def test_an_image_that_is_taken_over_gets_the_own_files_of_today(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own").write_text("text of today")
    it = app(proxy="none", drain={}, files={"a": {"source": str(tmp_path / "own")}})
    way = asked(monkeypatch, Resolved("console:1", "registry", LEFT), "1", it)
    assert way.app.image == "console:1"
    assert way.app.files["a"].content == "text of today"


def test_a_digest_that_only_the_registry_has_is_a_way_back_and_an_unknown_one_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = app(proxy="none", drain={})
    there = Resolved(f"console@{LEFT}", "digest", LEFT)
    assert asked(monkeypatch, there, LEFT, it).release.reference == f"console@{LEFT}"
    with pytest.raises(NotFoundError, match="no good release is meant by 'sha256:a"):
        asked(monkeypatch, replace(there, trouble="the registry has no such image"), LEFT, it)


def test_of_a_release_whose_record_is_damaged_the_image_alone_is_no_way_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = app(proxy="none", drain={}, files={"a": {"content": "two"}})
    settings = it.model_dump(mode="json", exclude_defaults=True)
    release = Release(
        "1-a", settings, "console:1-poetry", LEFT, outcome="good", files={"a": "0" * 64}
    )
    image = HostImage(LEFT, "2026", ("console:1-poetry",), (f"console@{LEFT}",), "poetry")
    found = AppState(releases={"console": (release,)}, images=(image,))
    monkeypatch.setattr(app_ways, "read", lambda apps: found)
    with pytest.raises(NotFoundError, match="console: the record of release 1-a is damaged: a in"):
        app_ways.way_back(it, "poetry")


def test_records_that_cannot_be_read_are_named_where_none_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = AppState(broken={"console": ("1-a",)})
    monkeypatch.setattr(app_ways, "read", lambda apps: found)
    with pytest.raises(NotFoundError, match="there are: none; records that cannot be read: 1-a"):
        app_ways.way_back(app(proxy="none", drain={}), "previous")


@pytest.mark.parametrize(
    ("known", "there", "goes_on"),
    [
        ("", (), True),
        ("2-b", ("1-a", "2-b"), True),
        # A folder without a record is of a run that was killed.
        ("1-a", ("1-a", "2-b/"), True),
        ("1-a", ("1-a", "2-b"), False),
        ("", ("1-a",), False),
    ],
)
def test_nothing_is_done_when_another_run_has_released_since_this_one_looked(
    tmp_path: Path, known: str, there: tuple[str, ...], goes_on: bool
) -> None:
    for one in there:
        (tmp_path / "releases/console" / one).mkdir(parents=True)
        if not one.endswith("/"):
            (tmp_path / "releases/console" / one / "release.json").touch()
    text = app_steps.BEFORE
    for word in ("apps", "releases"):
        text = text.replace(f"@{word}@", str(tmp_path / word))
    text = text.replace("/var/lib/uplift", str(tmp_path))
    head = f"app=console known={known} files= release=\n"
    done = subprocess.run(
        ["dash", "-s"], input=f"{head}{text}echo on\n", text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0 if goes_on else 1, "")
    assert done.stdout == "on\n" or "another run has changed it" in done.stdout
    assert (done.stdout == "on\n") is goes_on


# As Docker does it: an image goes with its last name.
ENGINE = r"""
dk() {
  case "$1 ${2-}" in
    "image inspect") [ -e names ] && cat names ;;
    rmi*)
      echo "$2" >>removed
      grep -vxF "$2" names >left; mv left names
      case $2 in sha256:*) rm names ;; esac ;;
  esac
}
"""
APPLICATION = ["r:5000/console:1", "r:5000/console:old", f"r:5000/console@{LEFT}"]


@pytest.mark.parametrize(
    ("others", "removed"),
    [
        (["tools/console:1", f"r:5000/console-web@{LEFT}"], APPLICATION),
        ([], [*APPLICATION, LEFT]),
    ],
)
def test_an_image_loses_its_names_in_the_applications_repository_alone(
    tmp_path: Path, others: list[str], removed: list[str]
) -> None:
    (tmp_path / "names").write_text("".join(f"{one}\n" for one in [*others, *APPLICATION]))
    text = app_script._placed(app_forget.FORGET)
    head = f"stale= unused={LEFT} repositories='r:5000/console console'\n"
    done = subprocess.run(
        ["dash"], input=f"{head}{ENGINE}{text}forget\n", text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "removed").read_text().splitlines() == removed


def test_what_a_builders_word_means_at_the_registry_is_found_out_once_for_all_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = app(proxy="none", drain={})
    newest, pinned = "console:1.10.0-poetry", f"console@{LEFT}"
    said = [Tagged(("1.9.0-poetry", "1.10.0-poetry", "2.0.0-uv"))]
    monkeypatch.setattr(app_ways, "read_quietly", lambda host, fact, **given: said.pop())
    way = asked(monkeypatch, Resolved(newest, "registry", LEFT), "poetry", it)
    assert (way.release.reference, way.release.digest, way.release.foreign) == (newest, LEFT, True)
    # The next host asks for the digest, wherever the tag points by now.
    resolved = {pinned: Resolved(pinned, "digest", LEFT)}
    monkeypatch.setattr(
        app_ways.container, "read", lambda wanted: State(docker=True, resolved=resolved)
    )
    other = app_ways.way_back(it, "poetry")
    assert other is not None
    assert (other.release, other.app.image) == (way.release, pinned)


def test_a_digest_that_was_found_before_the_first_wave_counts_wherever_the_tag_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it, exact = app(proxy="none", drain={}), f"console@{LEFT}"
    resolved = {exact: Resolved(exact, "digest", LEFT)}
    monkeypatch.setattr(app_ways, "read", lambda apps: AppState())
    monkeypatch.setattr(app_ways, "_FOUND", {})
    monkeypatch.setattr(
        app_ways.container, "read", lambda wanted: State(docker=True, resolved=resolved)
    )
    pinned = [f"r.example/console:1@sha256:{'b' * 64}", f"console:1@{LEFT}"]
    for to in ("1", "poetry"):
        way = app_ways.way_back(it, to, pinned)
        assert way is not None
        assert way.app.image == exact
        assert way.release == Release("", {}, "console:1", LEFT, foreign=True)


def test_of_two_hosts_that_ask_side_by_side_both_get_what_one_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it, moved = app(proxy="none", drain={}), f"sha256:{'b' * 64}"
    first = Release("", {}, "console:1-uv", LEFT, foreign=True)
    monkeypatch.setattr(app_ways, "read", lambda apps: AppState())
    monkeypatch.setattr(app_ways, "_FOUND", {})
    monkeypatch.setattr(app_ways, "read_quietly", lambda host, fact, **given: Tagged(("1-uv",)))

    def read(wanted: Any) -> State:
        image = wanted[0].image
        if image == "console:1-uv":  # the other host has its answer first
            app_ways._FOUND["console", "console", "uv"] = first
            return State(docker=True, resolved={image: Resolved(image, "registry", moved)})
        return State(docker=True, resolved={image: Resolved(image, "digest", LEFT)})

    monkeypatch.setattr(app_ways.container, "read", read)
    way = app_ways.way_back(it, "uv")
    assert way is not None
    assert (way.release, way.app.image) == (first, f"console@{LEFT}")


def test_a_registry_that_cannot_be_asked_for_tags_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Tagged(trouble="it answers with status 500")
    monkeypatch.setattr(app_ways, "read_quietly", lambda host, fact, **given: said)
    reason = "no good release is meant by 'poetry'.*registry of console cannot be asked: it answers"
    with pytest.raises(NotFoundError, match=reason):
        asked(monkeypatch, Resolved("", "failed"), "poetry", app(proxy="none", drain={}))
