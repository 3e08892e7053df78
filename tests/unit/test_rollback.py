"""A rollback of a fleet: what each host has, where it arrived, and how the command ends."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from uplift.cli import main
from uplift.remote.connection import Connection
from uplift.remote.inventory import InventoryHost
from uplift.rollback import registry, run
from uplift.rollback.run import READ_LIMIT, Listing, _exit, _read, arrived, roll_back
from uplift.rollout.run import Request
from uplift.spec.app import App
from uplift.spec.app.release import Origin, Release, record
from uplift.spec.errors import Exit, UpliftError, UsageError
from uplift.spec.rollout import Policy
from uplift.spec.rollout.journal import Run
from uplift.spec.rollout.plan import HostPlan

DIGEST = f"sha256:{'a' * 64}"
APP = App.parse(
    {
        "name": "console",
        "image": "r.example/console:2.0.0-uv",
        "port": 8000,
        "slot_ports": [18001, 18002],
    },
    path="apps",
)


def release(number: int, **fields: Any) -> Release:
    """A good release; all have one image and each its own settings."""
    given = {
        "id": f"2026010{number}T000000Z-{number}",
        "app": {"environment": {"A": str(number)}},
        "reference": "r.example/console:2.0.0-uv",
        "digest": DIGEST,
        "outcome": "good",
    }
    return Release(**{**given, **fields})


OLD, NEW = release(1), release(2)


def test_a_host_that_stayed_where_it_was_has_not_arrived_though_the_image_is_the_same() -> None:
    there = Listing("a", (OLD, NEW), current=NEW, chosen=OLD)
    assert not arrived(there)
    assert _exit([there], [there], 1) is Exit.FAILED


def test_it_has_arrived_at_the_release_its_record_or_one_that_is_the_same() -> None:
    back = release(3, of=OLD.id, app=OLD.app)
    for current in (back, OLD, replace(back, of="")):
        assert arrived(Listing("a", current=current, chosen=OLD))
    # The first record may be gone: then a later one of it is chosen.
    assert arrived(Listing("a", current=release(4, of=OLD.id), chosen=back))


def test_at_an_image_without_a_record_it_has_arrived_by_its_name() -> None:
    image = Release("", {}, "r.example/console:1.3.0-poetry", "", foreign=True)
    served = release(3, of=image.reference, reference=image.reference, foreign=True)
    assert arrived(Listing("a", current=served, chosen=image))
    assert not arrived(Listing("a", current=NEW, chosen=image))


def test_hosts_that_differ_now_are_told_from_those_that_all_stayed() -> None:
    was = [Listing(name, current=NEW, chosen=OLD) for name in "ab"]
    now = [replace(was[0], current=release(3, of=OLD.id)), was[1]]
    assert _exit(was, now, 1) is Exit.HELD


def test_a_rollback_that_reached_its_end_and_arrived_nowhere_is_no_success() -> None:
    was = [Listing(name, current=NEW, chosen=OLD) for name in "ab"]
    back = [replace(one, current=release(3, of=OLD.id)) for one in was]
    assert _exit(was, was, 0) is Exit.FAILED
    assert _exit(was, [back[0], was[1]], 0) is Exit.HELD
    assert _exit(was, back, 0) is Exit.DONE


def test_a_fleet_that_was_put_back_is_as_before_though_its_records_are_newer() -> None:
    was = [Listing(name, current=NEW, chosen=OLD) for name in "ab"]
    put_back = [replace(one, current=replace(NEW, id=release(4).id, of=NEW.id)) for one in was]
    for now in (put_back, [put_back[0], was[1]]):
        assert _exit(was, now, 1) is Exit.FAILED
    first = replace(was[1], current=release(3, of=OLD.id))
    assert _exit(was, [put_back[0], first], 1) is Exit.HELD


def test_what_is_told_to_haproxy_alone_makes_no_other_release_to_go_back_to() -> None:
    def recorded(number: int, **fields: Any) -> Release:
        app = App.parse({**APP.model_dump(exclude_defaults=True), **fields}, path="apps")
        return release(number, app=app.model_dump(mode="json", exclude_defaults=True))

    before, now = recorded(1, hold=2), recorded(2, hold=5, slot_ports=[18003, 18004])
    assert arrived(Listing("a", current=now, chosen=before))
    other = recorded(3, environment={"A": "other"})
    assert not arrived(Listing("a", current=other, chosen=before))
    secret = replace(before, id="3", fingerprints={"console/key": "other"})
    assert not arrived(Listing("a", current=secret, chosen=before))


@pytest.mark.parametrize(
    ("step", "code"), [("not-reverted", 3), ("reverted", 1), ("waiting", Exit.USAGE)]
)
def test_what_the_run_says_counts_where_hosts_alone_do_not_tell_it(
    step: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("deploys").mkdir()
    Path("deploys/rollback.py").touch()
    run_ = Run(hosts={"a": step}, changing=frozenset())  # type: ignore[dict-item]
    monkeypatch.setattr(run, "having", lambda *_: [(InventoryHost("a"), APP)])
    monkeypatch.setattr(run, "_listed", lambda *_: [Listing("a", current=NEW, chosen=OLD)])
    ended = SimpleNamespace(run=run_, exit_code=Exit(code))
    monkeypatch.setattr(run, "begin", lambda *_: ended)
    policy = Policy(waves=("100%",))
    found = roll_back(
        "i.py", "console", "uv", policy=lambda hosts: policy, tell=lambda one: None, dry_run=False
    )
    assert found.exit_code == code


def test_an_empty_word_means_no_release() -> None:
    with pytest.raises(UsageError, match="--to is empty"):
        roll_back(
            "inventory.py", "console", "", policy=Policy(), tell=lambda one: None, dry_run=False
        )


def begun(monkeypatch: pytest.MonkeyPatch, folder: Path, waves: str) -> list[str]:
    """Go back on two hosts, of which one cannot; return what was done."""
    done: list[str] = []
    hosts = [InventoryHost(name) for name in "ab"]
    found = HostPlan(name="a", state="changes"), HostPlan(name="b", state="refused", text="port 1")

    def looked(inventory: str, deploys: Any, names: list[str], **options: Any) -> Any:
        done.append(f"look at {' '.join(names)} for {options['data']['to']}")
        return None, found

    def started(request: Request, tell: Any) -> SimpleNamespace:
        done.append("begin")
        return SimpleNamespace(exit_code=Exit.LOCKED)

    (folder / "deploys").mkdir()
    (folder / "deploys/rollback.py").touch()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(run, "having", lambda *words: [(one, APP) for one in hosts])
    monkeypatch.setattr(run, "_listed", lambda *words: [Listing(one.name) for one in hosts])
    monkeypatch.setattr(run, "look", looked)
    monkeypatch.setattr(run, "begin", started)
    policy = Policy.parse({"waves": waves}, path="")
    try:
        roll_back(
            "i.py",
            "console",
            "uv",
            policy=lambda hosts: policy,
            tell=lambda one: None,
            dry_run=False,
        )
    except UpliftError as error:
        done.append(str(error))
    return done


def test_every_host_is_asked_before_the_first_of_several_waves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert begun(monkeypatch, tmp_path, "1") == [
        "look at a b for uv",
        "b: port 1\nno host was touched",
    ]


def test_of_one_wave_the_deploy_asks_every_host_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert begun(monkeypatch, tmp_path, "100%") == ["begin"]


@pytest.mark.parametrize("touched", [("a",), ()], ids=["in a wave", "before the first"])
def test_of_a_rollback_that_was_interrupted_what_hosts_serve_now_is_told_if_any_was_touched(
    touched: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("deploys").mkdir()
    Path("deploys/rollback.py").touch()
    hosts = [SimpleNamespace(name="a"), SimpleNamespace(name="b")]
    was = [Listing(host.name, current=NEW, chosen=OLD) for host in hosts]
    now = [replace(was[0], current=release(3, of=OLD.id)), was[1]]
    read = iter([was, now])
    told = SimpleNamespace(touched=touched, at=lambda *steps: [])
    ended = SimpleNamespace(run=told, exit_code=Exit.INTERRUPTED)
    monkeypatch.setattr(run, "having", lambda *_: [(host, APP) for host in hosts])
    monkeypatch.setattr(run, "_listed", lambda *_: next(read))
    monkeypatch.setattr(run, "begin", lambda *_: ended)
    found = roll_back(
        "i.py",
        "console",
        OLD.id,
        policy=lambda hosts: Policy(waves=("100%",)),
        tell=lambda one: None,
        dry_run=False,
    )
    assert found.exit_code is Exit.INTERRUPTED
    assert [arrived(one) for one in found.after] == ([True, False] if touched else [])


IMAGE = Release("", {}, "r.example/console:1.3.0-poetry", "", foreign=True)


@dataclass
class Tags:
    """A registry at which a tag is moved after each answer, and what is done with the answers."""

    asked: list[str]
    done: list[tuple[str, Any]]

    def digest(self, host: InventoryHost, reference: str) -> str:
        self.asked.append(f"{host.name}: {reference}")
        if reference.endswith(":none"):
            raise UpliftError("manifest unknown")
        return f"sha256:{'bcd'[len(self.asked) - 1] * 64}"

    def look(self, inventory: str, deploys: Any, names: Any, **options: Any) -> Any:
        self.done.append(("look", options["data"]))
        return None, [HostPlan(name=name, state="changes") for name in names]

    def dry(self, inventory: str, data: Any, limit: Any) -> int:
        self.done.append(("dry", data))
        return 0

    def begin(self, request: Request, tell: Any) -> SimpleNamespace:
        self.done.append(("begin", request.data))
        return SimpleNamespace(exit_code=Exit.LOCKED)


@pytest.fixture
def tags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tags:
    (tmp_path / "deploys").mkdir()
    (tmp_path / "deploys/rollback.py").touch()
    monkeypatch.chdir(tmp_path)
    made = Tags([], [])
    monkeypatch.setattr(registry, "_digest", made.digest)
    monkeypatch.setattr(run, "look", made.look)
    monkeypatch.setattr(run, "_looked", made.dry)
    monkeypatch.setattr(run, "begin", made.begin)
    return made


def by_waves(
    monkeypatch: pytest.MonkeyPatch, chosen: dict[str, Release], dry_run: bool = False
) -> run.Result:
    """Go back on hosts one by one, each to what it has chosen."""
    hosts = [InventoryHost(name) for name in chosen]
    why = "no good release is meant"
    read = [Listing(name, current=NEW, chosen=one, unrecorded=why) for name, one in chosen.items()]
    monkeypatch.setattr(run, "having", lambda *words: [(one, APP) for one in hosts])
    monkeypatch.setattr(run, "_listed", lambda *words: read)
    return roll_back(
        "i.py",
        "console",
        "1.3.0-poetry",
        policy=lambda hosts: Policy(waves=("1",)),
        tell=lambda one: None,
        dry_run=dry_run,
    )


def test_what_a_tag_means_at_the_registry_is_asked_once_and_all_waves_get_that_digest(
    tags: Tags, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = by_waves(monkeypatch, dict.fromkeys("ab", IMAGE))
    assert tags.asked == ["a: r.example/console:1.3.0-poetry"]
    digest = f"sha256:{'b' * 64}"
    # The run's journal has it, so `uplift resume` goes on with it; people read what they typed.
    data = {
        "app": "console",
        "to": "1.3.0-poetry",
        "pinned": f"r.example/console:1.3.0-poetry@{digest}",
    }
    assert tags.done == [("look", data), ("begin", data)]
    assert [one.chosen for one in result.before] == [replace(IMAGE, digest=digest)] * 2
    tags.done.clear()
    by_waves(monkeypatch, dict.fromkeys("ab", IMAGE), dry_run=True)
    ((what, looked),) = tags.done
    assert (what, looked["pinned"]) == ("dry", data["pinned"].replace("b" * 64, "c" * 64))


def test_each_repository_is_asked_and_hosts_that_have_an_image_keep_theirs(
    tags: Tags, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = replace(IMAGE, digest=DIGEST, local="sha256:1")
    other = replace(IMAGE, reference="s.example/console:1.3.0-poetry")
    result = by_waves(monkeypatch, {"a": there, "b": other, "c": IMAGE, "d": OLD})
    assert tags.asked == [f"b: {other.reference}", f"c: {IMAGE.reference}"]
    assert [one.chosen and one.chosen.digest[7:8] for one in result.before] == ["a", "b", "c", "a"]
    pinned = [f"{IMAGE.reference}@sha256:{'c' * 64}", f"{other.reference}@sha256:{'b' * 64}"]
    assert tags.done[-1][1]["pinned"] == ",".join(pinned)


@pytest.mark.parametrize(
    "chosen",
    [OLD, replace(IMAGE, local="sha256:1"), replace(IMAGE, reference=f"r.example/c@{DIGEST}")],
)
def test_no_registry_is_asked_for_what_is_on_the_host_or_named_by_its_digest(
    chosen: Release, tags: Tags, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_waves(monkeypatch, dict.fromkeys("ab", chosen))
    assert tags.asked == []
    assert "pinned" not in tags.done[-1][1]


def test_nothing_is_begun_for_a_tag_that_the_registry_does_not_have(
    tags: Tags, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = replace(IMAGE, reference="r.example/console:none")
    result = by_waves(monkeypatch, {"a": none, "b": OLD})
    assert (result.exit_code, tags.done) == (Exit.FAILED, [])
    said = "r.example/console:none is not on the host, and cannot be had: manifest unknown"
    assert [one.error for one in result.before] == [f"no good release is meant; {said}", ""]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("tag r.example/console:1.3.0-poetry 404 \nend", "the registry has no such image"),
        ("tag r.example/console:1.3.0-poetry 000 \nend", r"no answer \(status 000\)"),
        ("", "a: what the host said about its registry was cut off"),
        (None, "a: no route"),
    ],
)
def test_why_a_tag_cannot_be_had_is_said(
    lines: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fleet:
        """One host, which cannot be reached where it has nothing to say."""

        def __init__(self, hosts: Any) -> None:
            self.unreachable = {} if lines is not None else {"a": UpliftError("a: no route")}

        def __enter__(self) -> Fleet:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is open."""

        def each(self, step: Any) -> dict[str, Any]:
            return {} if lines is None else {"a": step(Said(lines, "a"))}

    monkeypatch.setattr(registry, "Fleet", Fleet)
    with pytest.raises(UpliftError, match=said):
        registry._digest(InventoryHost("a"), IMAGE.reference)


def test_an_image_that_is_on_the_host_is_told_from_one_that_only_the_registry_has() -> None:
    tags = json.dumps([IMAGE.reference])
    lines = ["busy", f"image sha256:1 2026 {tags} [] {{}}", "end"]
    for said, known in (("\n".join(lines), "sha256:1"), ("busy\nend", "")):
        chosen = listing(Said(said), "1.3.0-poetry").chosen
        assert chosen == replace(IMAGE, local=known)


def test_another_image_of_the_same_tag_is_not_what_was_asked_for() -> None:
    wanted = replace(IMAGE, digest=DIGEST)
    served = release(3, of=IMAGE.reference, reference=IMAGE.reference, foreign=True)
    assert arrived(Listing("a", current=served, chosen=wanted))
    moved = replace(served, digest=f"sha256:{'b' * 64}")
    assert not arrived(Listing("a", current=moved, chosen=wanted))


@dataclass
class Said:
    """A connection whose host says this."""

    stdout: str
    name: str = "box"
    limit: float = 0

    def run(self, script: str, *args: str, time_limit: float) -> SimpleNamespace:
        self.limit = time_limit
        return SimpleNamespace(rc=1, stdout=self.stdout, stderr="sudo: a password is required")


def listing(said: Said, to: str = "") -> Listing:
    """Read a host."""
    return _read(cast(Connection, said), APP, to)


def test_a_host_that_cannot_be_read_is_named_with_the_reason() -> None:
    with pytest.raises(UpliftError, match=r"box: .+ could not be read: sudo: a password"):
        listing(Said(""))


def test_it_waits_for_a_switch_that_is_still_going_on() -> None:
    said = Said("busy\nend")
    listing(said)
    # What waits on the host for up to five minutes is waited for.
    assert said.limit == READ_LIMIT > 300


def test_of_a_switch_that_was_interrupted_the_new_release_is_current() -> None:
    def packed(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    lines = ["busy"]
    for id, outcome in (("20260101T000000Z-1", "good"), ("20260102T000000Z-2", "started")):
        text = record(APP, Origin(APP.image, DIGEST, "me"), id, {})
        lines.append(f"release console {id} {packed(text)} {packed(f'outcome {outcome}')}")
    journal = "release 20260102T000000Z-2 green\nhold before\n"
    config = "backend console\n  server blue 127.0.0.1:1 check disabled\n  server green 127.0.0.1:2"
    lines += [f"journal console {packed(journal)}", f"config {packed(config)}", "end"]
    found = listing(Said("\n".join(lines)))
    assert found.current is not None
    assert (found.current.id, found.slot) == ("20260102T000000Z-2", "green")


def test_as_json_a_rollback_tells_what_happens_as_it_does_and_its_result_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rolled(*given: Any, tell: Any, **more: Any) -> run.Result:
        tell({"kind": "done", "host": "a", "changed": ["Console"]})
        return run.Result((Listing("a", (OLD, NEW), current=NEW, chosen=OLD),), (), Exit.FAILED)

    monkeypatch.setattr("uplift.cli.rollback.roll_back", rolled)
    words = ["rollback", "i.py", "console", "--json"]
    assert main.run(words) == 1
    output, errors = capsys.readouterr()
    event, result = map(json.loads, output.splitlines())
    assert event == {"kind": "done", "host": "a", "changed": ["Console"]}
    assert (result["kind"], result["exit_code"], result["after"]) == ("result", 1, [])
    assert result["before"][0]["chosen"] == OLD.id
    assert errors == ""
