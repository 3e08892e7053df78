"""Plans: what a run would change, bound to what was seen, and refused when a host moved on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import asked_once
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.cli.main import run as uplift
from uplift.remote import inventory
from uplift.remote.inventory import InventoryHost
from uplift.rollout.plan import Request, _waves
from uplift.spec.errors import Exit, UsageError
from uplift.spec.rollout.plan import (
    HostPlan,
    Plan,
    Read,
    Step,
    differing,
    load,
    shared,
    stale,
    step,
    touched,
)
from uplift.spec.rollout.ways import way_back

UV = "uplift.operations.uv.installed"


def made(*hosts: HostPlan, **more: Any) -> Plan:
    return Plan(
        uplift="0.1.0",
        made="2026-11-21T17:21:00Z",
        by="kim@desk",
        inventory="inventories/prod.py",
        deploys=("deploys/site.py",),
        hosts=hosts,
        **more,
    )


def host(name: str = "web-1", state: Any = "unchanged", **more: Any) -> HostPlan:
    return HostPlan(name=name, state=state, **more)


# One operation


def operation(**more: Any) -> dict[str, Any]:
    return {"name": "uv", "function": UV, "change": False, "conditional": False, **more}


def test_an_operation_that_would_do_nothing_says_nothing() -> None:
    assert step(operation(), [], [], moved=False) == Step(name="uv", function=UV)


def test_an_operation_that_would_change_names_what_restarts_goes_and_comes_back() -> None:
    told = [
        {"text": "uv: 1 -> 2", "restarts": ["redis"]},
        {"text": "uv: 1 removed", "removes": ["1"]},
    ]
    found = step(operation(change=True), told, [], moved=False)
    assert found.effect == "change"
    assert found.lines == ("uv: 1 -> 2", "uv: 1 removed")
    assert (found.restarts, found.removes) == (("redis",), ("1",))
    assert (found.way_back, found.reverts) == ("the version before", True)


def test_a_change_without_a_way_back_says_why_though_the_operation_has_one() -> None:
    redis = operation(change=True) | {"function": "uplift.operations.redis.configured"}
    told = [{"text": "redis: image", "lasting": "other data"}, {"text": "redis: port"}]
    assert step(redis, told[1:], [], moved=False).reverts
    found = step(redis, told, [], moved=False)
    assert (found.way_back, found.reverts) == ("none: other data", False)


def test_every_operation_of_ours_says_whether_it_has_a_way_back() -> None:
    files = (Path(__file__).parents[2] / "src/uplift/operations").glob("*.py")
    names = [
        f"{file.stem}.{name}"
        for file in files
        for name in re.findall(r"^@operation\(.*\)\ndef (\w+)", file.read_text(), re.M)
    ]
    # They say no more than they do, or are the way back.
    back = {"container_removal.orphans_listed"}
    back |= {"container_return.as_before", "kept.restored"}
    assert len(names) > 20
    assert [one for one in names if one not in back and way_back(one) is None] == []


def test_whether_a_conditional_operation_runs_is_left_open() -> None:
    assert step(operation(change=True, conditional=True), [], [], moved=False).effect == "maybe"


def test_a_refusal_behind_a_change_is_unclear_and_else_an_error() -> None:
    change = operation(change=True)
    assert step(change, [], ["no Docker"], moved=True).effect == "unclear"
    refused = step(change, [], ["no Docker"], moved=False)
    assert (refused.effect, refused.lines, refused.changes) == ("refused", ("no Docker",), False)


def test_stock_operations_have_no_way_back() -> None:
    assert way_back("pyinfra.operations.files.file") is None
    assert way_back("") is None


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["unchanged"], Exit.DONE),
        (["unchanged", "changes"], Exit.PENDING),
        (["changes", "refused"], Exit.FAILED),
        (["failed"], Exit.FAILED),
        (["changes", "failed", "unreachable"], Exit.HELD),
    ],
)
def test_the_exit_code_tells_the_worst_host(states: list[str], code: Exit) -> None:
    assert made(*(host(str(n), state) for n, state in enumerate(states))).exit_code is code


def test_what_a_rollout_cannot_put_back_is_named() -> None:
    steps = (
        Step(name="uv", effect="change", reverts=True),
        Step(name="A file", effect="maybe"),
        Step(name="Docker", effect="none"),
    )
    assert made(host(steps=steps), host("web-2")).irreversible == {"web-1": ("A file",)}


# The document


def test_a_plan_that_was_kept_comes_back_as_it_was() -> None:
    plan = made(host(reads={"k": Read(fact="uv.Installed", parts={"root": "1"})}), waves=(("a",),))
    assert load(plan.model_dump_json(), "plan.json") == plan


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "plan.json: no plan"),
        ("[]", "plan.json"),
        ('{"version": 1}', "plan.json: hosts"),
        ('{"version": 2, "uplift": "9.1"}', "made by uplift 9.1, in version 2"),
        ('{"version": "x"}', "plan.json: no plan"),
    ],
)
def test_what_is_no_plan_of_ours_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load(text, "plan.json")


def test_the_documents_schema_is_the_one_in_the_docs() -> None:
    schema = Plan.model_json_schema(mode="serialization")
    jsonschema.validate(json.loads(made(host()).model_dump_json()), schema)
    text = Path(__file__).parents[2].joinpath("docs/plan.md").read_text()
    for model in (Plan, HostPlan, Step, Read):
        missing = [name for name in model.model_fields if f"`{name}`" not in text]
        assert not missing, (model.__name__, missing)


# What moved

SEEN = {"k": Read(fact="container.Containers", parts={"containers.redis": "1", "docker": "2"})}


def moved(**parts: str) -> list[str]:
    return stale(made(host(reads=SEEN)), "web-1", {"k": parts} if parts else {})


def test_a_host_that_is_as_it_was_is_not_stale() -> None:
    assert moved(**{"containers.redis": "1", "docker": "2"}) == []


def test_a_host_that_moved_is_named_with_what_moved() -> None:
    assert moved(**{"containers.redis": "9", "docker": "2", "containers.new": "3"}) == [
        "web-1: container.Containers: containers.new (new), containers.redis"
    ]
    assert moved(docker="2") == ["web-1: container.Containers: containers.redis (gone)"]


def test_a_read_that_is_missing_is_stale_and_one_that_is_new_is_not() -> None:
    assert moved() == ["web-1: container.Containers was read for the plan and is not any more"]
    plan = made(host(reads=SEEN))
    # Of several hosts one publishes for all: in a wave without it, that is another one.
    assert stale(plan, "web-1", {"k": SEEN["k"].parts, "packages.Packages:1": {}}) == []
    assert stale(plan, "web-9", {}) == ["web-9 is not in the plan"]


@pytest.mark.parametrize("state", ["unreachable", "failed"])
def test_a_host_that_was_not_seen_whole_cannot_be_as_the_plan_saw_it(state: str) -> None:
    for reads in ({}, SEEN):
        plan = made(host(state=state, text="no route\nto it", reads=reads))
        assert stale(plan, "web-1", {"k": SEEN["k"].parts}) == [
            f"web-1 was {state} when the plan was made (no route): plan again"
        ]
    # Stock operations read nothing that is kept: such a host was seen all the same.
    assert stale(made(host(state="changes")), "web-1", {}) == []


@pytest.mark.parametrize(
    ("address", "function", "others", "replaced"),
    [
        ("http://nexus:8081", "nexus.configured", ["web-1"], True),
        # Its own server, which the other host does not speak to.
        ("http://127.0.0.1:8081", "nexus.configured", ["web-1"], False),
        ("http://nexus:8081", "packages.published", ["web-1"], False),
        # Nobody has changed it yet, or this host alone.
        ("http://nexus:8081", "nexus.configured", [], False),
        ("http://nexus:8081", "nexus.configured", ["web-2"], False),
    ],
)
def test_what_this_run_changed_of_a_service_on_another_host_has_not_moved(
    address: str, function: str, others: list[str], replaced: bool
) -> None:
    keys = (f"nexus.State:{address}", "nexus.Nexus:1f")
    reads = {key: Read(fact="nexus.State", parts={"users": "1"}) for key in keys}
    step = Step(name="Nexus", function=f"uplift.operations.{function}", effect="change")
    plan = made(*(host(name, reads=reads, steps=(step,)) for name in ("web-1", "web-2")))
    found = shared(plan, "web-2", others)
    assert found == (set(keys) if replaced else set())
    lines = stale(plan, "web-2", {key: {"users": "2"} for key in keys}, found)
    assert len(lines) == (0 if replaced else 2)


@pytest.mark.parametrize(
    ("function", "key", "may"),
    [
        (UV, "uv.Installed:1", True),
        (UV, "clients.ClientFiles:1", False),
        (UV, "tools.Installed:1", True),
        ("uplift.operations.docker.installed", "container.Containers:1", True),
        ("uplift.operations.app.deployed", "haproxy.Found:1", True),
        ("uplift.operations.app.deployed", "uv.Installed:1", False),
        ("pyinfra.operations.server.shell", "uv.Installed:1", True),
        ("", "uv.Installed:1", True),
    ],
)
def test_what_an_operation_of_the_run_may_have_changed_is_not_held_against_the_plan(
    function: str, key: str, may: bool
) -> None:
    assert touched(function, key) is may


@given(*[st.dictionaries(st.text(max_size=3), st.sampled_from("ab"), max_size=4)] * 2)
def test_only_equal_parts_do_not_differ(before: dict[str, str], now: dict[str, str]) -> None:
    assert (differing(before, now) == []) == (before == now)


# The command, on this machine


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inventory, "_ask_pyinfra", asked_once.ask)
    down = ("down", {"ssh_hostname": "127.0.0.1", "ssh_port": 1})
    Path("inventory.py").write_text(f"here = ['@local']\nthere = [{down!r}]\n")
    Path("deploy.py").write_text(
        "from pyinfra import host\nfrom pyinfra.operations import files\n"
        "files.file(name='A file', path=host.data.get('path', 'made'))\n"
    )
    return tmp_path


def test_a_plan_shows_what_stock_operations_would_change_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(project.rglob("*"))
    words = ["plan", "inventory.py", "deploy.py", "--limit", "here"]
    assert uplift(words) == Exit.PENDING
    shown = capsys.readouterr().out
    assert "~ A file  files.file" in shown
    assert "way back: none" in shown
    assert sorted(project.rglob("*")) == before
    Path("made").touch()
    assert uplift(words) == Exit.DONE
    assert uplift([*words, "--data", "path=1.10"]) == Exit.PENDING


def test_a_plan_is_kept_for_its_owner_alone_and_holds_waves(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("group_data").mkdir()
    Path("group_data/all.py").write_text("rollout = {'waves': ['1']}\n")
    words = ["plan", "inventory.py", "deploy.py", "-o", "plan.json", "--json"]
    assert uplift(words) == Exit.HELD
    kept = load(Path("plan.json").read_text(), "plan.json")
    assert Path("plan.json").stat().st_mode & 0o777 == 0o600
    assert json.loads(capsys.readouterr().out) == json.loads(Path("plan.json").read_text())
    assert kept.waves == (("@local",), ("down",))
    assert {one.name: one.state for one in kept.hosts} == {
        "@local": "changes", "down": "unreachable",
    }  # fmt: skip


NAMED = {"waves": ["there", "1"]}


@pytest.mark.parametrize(
    ("blocks", "words", "waves"),
    [
        ({"a": NAMED, "b": NAMED}, (), (("b",), ("a",))),
        ({"a": NAMED, "b": NAMED}, ("2",), (("a", "b"),)),
        # Nobody has to change settings to look at some hosts only.
        ({"a": NAMED}, (), (("a",),)),
        ({"a": {"on_failure": "hold"}, "b": {"on_failure": "hold"}}, (), (("a",), ("b",))),
        ({"a": NAMED, "b": {"waves": ["1"]}}, (), ()),
        ({"a": NAMED, "b": None}, (), ()),
        ({"a": None, "b": None}, (), ()),
    ],
)
def test_a_plan_has_the_waves_that_its_rollout_would_have(
    blocks: dict[str, Any], words: tuple[str, ...], waves: Any
) -> None:
    hosts = [
        InventoryHost(name, ("there",) if name == "b" else (), {"rollout": block} if block else {})
        for name, block in blocks.items()
    ]
    assert _waves(Request("inventory.py", ("deploy.py",), waves=words), hosts) == waves


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inventory.py", "deplow.py"], "Did you mean deploy.py?"),
        (["inventory.py", "deploy.py", "--waves", "heer,1"], "did you mean 'here'?"),
        (["inventory.py", "deploy.py", "--data", "path"], "write --data path=TEXT"),
        (["inventory.py", "deploy.py", "-o", "no/p"], "no/p: there is no folder no"),
    ],
)
def test_a_slip_of_the_pen_ends_with_64_and_the_remedy(
    words: list[str], said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert uplift(["plan", *words]) == Exit.USAGE
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_waves_of_a_plan_are_not_silently_put_before_those_that_are_typed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Plan(
        uplift="1", made="now", by="me", inventory="inventory.py", deploys=("deploy.py",),
        waves=(("@local",), ("down",)), hosts=(),
    )  # fmt: skip
    Path("plan.json").write_text(made.model_dump_json())
    assert uplift(["rollout", "--plan", "plan.json", "--waves", "100%", "-y"]) == Exit.USAGE
    assert "--plan says the waves" in capsys.readouterr().err


def test_settings_of_hosts_are_checked_also_where_a_file_says_how_a_rollout_goes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("inventory.py").write_text("there = [('down', {'uv': {'versoin': '1'}})]\n")
    Path("policy.yml").write_text("waves: 100%\n")
    words = ["inventory.py", "deploy.py", "--policy", "policy.yml", "--no-gate", "-y"]
    assert uplift(["rollout", *words]) == Exit.USAGE
    assert "did you mean 'version'" in capsys.readouterr().err.replace("\n", " ")
    assert not Path(".uplift").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bake", "30s"], "bake: nothing would be looked at in 30 s, there is no gate"),
        (["--bake", "30s", "--no-gate"], "bake: nothing would be looked at in 30 s"),
        (["--policy", "policy.yml"], "name tests by --gate, or set --bake 0s"),
        # Who wants no tests wants no time for them either: the settings' time is left out.
        (["--policy", "policy.yml", "--no-gate"], "there is no terminal to ask at"),
        (["--policy", "policy.yml", "--bake", "0s"], "there is no terminal to ask at"),
    ],
)
def test_a_wave_that_would_bake_without_a_test_is_refused_with_the_remedy(
    words: list[str], said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("policy.yml").write_text("bake: 1m\n")
    assert uplift(["rollout", "inventory.py", "deploy.py", *words]) == Exit.USAGE
    assert said in " ".join(capsys.readouterr().err.split())


def test_hosts_that_are_rolled_out_together_have_one_block_that_says_how(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("inventory.py").write_text(
        "here = [('h1', {'rollout': {'waves': '1,1'}}), ('h2', {'rollout': {'waves': '100%'}}),\n"
        "        ('h3', {'rollout': {'waves': '1,1'}}), 'h4']\n"
    )
    words = ["rollout", "inventory.py", "deploy.py", "--no-gate"]
    assert uplift([*words, "-y"]) == Exit.USAGE
    said = " ".join(capsys.readouterr().err.split())
    assert "h1 and h2 and h4 have different `rollout` settings" in said
    assert "put the block into group_data/all.py" in said
    assert not Path(".uplift").exists()
    # Those that have the same may go, and a file says it for all of them.
    assert uplift([*words, "--limit", "h1", "--limit", "h3"]) == Exit.USAGE
    assert "wave 1: h1" in (said := capsys.readouterr().err)
    assert "no terminal to ask at" in " ".join(said.split())
    Path("policy.yml").write_text("waves: 100%\n")
    assert uplift([*words, "--policy", "policy.yml"]) == Exit.USAGE
    assert "wave 1: h1, h2, h3, h4" in capsys.readouterr().err
