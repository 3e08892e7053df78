"""What runs where, as a host's script says it, and what of it is not as it should be."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from uplift.cli.main import run as uplift
from uplift.cli.status import age
from uplift.facts import status as reading
from uplift.spec.app.models import App
from uplift.spec.errors import Exit
from uplift.spec.kept import RUNS
from uplift.spec.rollout.drift import Finding, findings
from uplift.spec.rollout.plan import HostPlan, Plan, Step
from uplift.spec.rollout.status import HostStatus, Managed, Row, parse

OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
CONFIG = """
backend console
    server blue 127.0.0.1:9001 disabled
    server green 127.0.0.1:9002
"""
READY = "1 console 1 blue 127.0.0.1 0 1 1\n1 console 2 green 127.0.0.1 2 0 1\n"


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def container(name: str, **more: Any) -> dict[str, Any]:
    labels = {"io.uplift.managed": "true", "io.uplift.container": name, "io.uplift.subject": name}
    return {
        "name": f"/{name}",
        "image": "sha256:" + "a" * 64,
        "reference": f"registry:5000/{name}:1",
        "labels": {**labels, **more.pop("labels", {})},
        "status": "running",
        "health": "",
        "started": "2026-11-21T17:21:00.123456789Z",
        **more,
    }


def console() -> App:
    return App.parse(
        {
            "name": "console",
            "image": "registry:5000/console:1.4.0-poetry",
            "port": 8000,
            "slot_ports": [9001, 9002],
        },
        path="apps",
    )


def release(id: str = "20261121T172100Z-2", digest: str = NEW, outcome: str = "good") -> str:
    record = {
        "format": 1,
        "id": id,
        "app": {},
        "reference": "registry:5000/console:2.0.0-uv",
        "digest": digest,
        "environment": [],
        "secrets": {},
        "by": "kim@desk",
        "foreign": False,
    }
    said = f"outcome {outcome}\nlocal sha256:{'a' * 64}\nbuilder uv\n"
    return f"release console {id} {packed(json.dumps(record))} {packed(said)}"


def said(*containers: dict[str, Any], more: tuple[str, ...] = (), **words: str) -> list[str]:
    lines = "\n".join(json.dumps(one) for one in containers)
    labels = json.dumps({"io.uplift.builder": "uv"})
    image = f'image sha256:{"a" * 64} 2026-11-21T17:00:00Z ["c:1"] ["c@{NEW}"] {labels}'
    return [
        f"docker {words.get('docker', 'yes')}",
        f"containers {packed(lines)}",
        f"uv {words.get('uv', '')}",
        *more,
        f"busy {words.get('busy', '')}",
        image,
        f"config {packed(words.get('config', CONFIG))}",
        f"states {packed(words.get('states', READY))}",
        "end",
    ]


GREEN = container("console-green", labels={"io.uplift.subject": "console"}, health="healthy")


def test_an_application_is_told_by_proxy_container_and_record_together() -> None:
    ledger = json.dumps({"run": "R1", "hosts": {"web-1": "committed"}, "outcome": "done"})
    found = parse("web-1", [console()], said(GREEN, more=(release(), f"last {packed(ledger)}")))
    assert found.rows == (
        Row(
            host="web-1",
            kind="app",
            name="console",
            release="20261121T172100Z-2",
            image="registry:5000/console:2.0.0-uv",
            digest=NEW,
            builder="uv",
            slot="green",
            state="healthy",
            since="2026-11-21T17:21:00.123456789Z",
            gate="committed (R1)",
        ),
    )
    assert found.rows[0].good


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        (said(GREEN), "no release of it is recorded"),
        (said(GREEN, more=(release(outcome="failed"),)), "no release of it is recorded"),
        (said(more=(release(),)), "its container is gone"),
        (said(GREEN, more=(release(),), states=""), "HAProxy sends green no traffic"),
        (
            said(GREEN, more=(release(),), busy="uplift-app-1.service "),
            "uplift-app-1.service is at",
        ),
    ],
)
def test_what_does_not_fit_together_is_noted(lines: list[str], note: str) -> None:
    (row,) = parse("web-1", [console()], lines).rows
    assert note in " ".join(row.notes)
    assert not row.good


def test_of_an_interrupted_switch_the_release_is_told_that_haproxy_names() -> None:
    new = "20261121T180000Z-3"
    records = (release(digest="sha256:" + "c" * 64), release(new, outcome="started"))
    journal = f"journal console {packed(f'release {new} green{chr(10)}hold before{chr(10)}')}"
    (row,) = parse("web-1", [console()], said(GREEN, more=(*records, journal))).rows
    assert (row.release, row.notes) == (new, ("a switch was interrupted at 'hold before'",))
    (row,) = parse("web-1", [console()], said(GREEN, more=(*records, journal), busy="u-1")).rows
    assert row.notes == ("u-1 is at work",)


def test_another_image_than_the_records_is_noted_and_is_not_taken_for_the_release() -> None:
    other = {**GREEN, "image": "sha256:" + "b" * 64}
    (row,) = parse("web-1", [console()], said(other, more=(release(),))).rows
    assert row.notes == ("runs another image than its release 20261121T172100Z-2",)
    assert (row.release, row.digest) == ("", "sha256:" + "b" * 64)
    assert row.image == "registry:5000/console-green:1"


def test_a_container_that_is_gone_leaves_the_release_that_should_run_and_no_digest() -> None:
    (row,) = parse("web-1", [console()], said(more=(release(),))).rows
    assert (row.state, row.digest) == ("absent", "")
    assert (row.release, row.image) == ("20261121T172100Z-2", "registry:5000/console:2.0.0-uv")


def test_services_and_tools_have_rows_and_kept_containers_have_none() -> None:
    kept = container("redis--previous", status="exited")
    foreign = {**container("theirs"), "labels": {}}
    found = parse("web-1", [], said(container("redis"), kept, foreign, uv="0.13.8"))
    assert [(row.kind, row.name, row.state) for row in found.rows] == [
        ("service", "redis", "running"),
        ("tool", "uv", "installed"),
    ]
    assert [it.name for it in found.managed] == ["redis", "redis--previous"]


def test_a_host_without_docker_has_no_rows_of_containers() -> None:
    found = parse("web-1", [console()], said(docker="no", config="", states=""))
    assert not found.docker
    assert [(row.name, row.state) for row in found.rows] == [("console", "absent")]


def test_a_script_that_was_cut_off_is_no_status() -> None:
    with pytest.raises(ValueError):
        parse("web-1", [], said()[:-1])


LEDGER = {"run": "R1", "hosts": {"web-1": "committed"}, "outcome": "done"}
GATE = {"new": [], "old": 1, "mended": 0, "flaky": ["web-10 uv: test_it"]}
MARK = {"token": 8, "kind": "done", "at": 1.0, "run": "R2"}


@pytest.mark.parametrize(
    ("files", "gate"),
    [
        # From the one that was written first to the one that was written last.
        ({"R1": [{**MARK, "run": "R1"}], "ledger": [LEDGER]}, "committed (R1)"),
        ({"ledger": [LEDGER], "R2": [{**MARK, "kind": "intent"}, MARK]}, "done, not ended (R2)"),
        ({"R2": [MARK]}, "done, not ended (R2)"),
        ({"R2": [MARK], "ledger": [LEDGER, {**LEDGER, "run": "R2"}]}, "committed (R2)"),
        ({}, ""),
        ({"ledger": [{**LEDGER, "gate": {}}]}, "committed, no tests (R1)"),
        ({"ledger": [{**LEDGER, "gate": {"1": GATE}}]}, "committed, tests passed (R1)"),
        (
            {"ledger": [{**LEDGER, "gate": {"1": {**GATE, "flaky": ["web-1 uv: test_it"]}}}]},
            "committed, flaky tests (R1)",
        ),
        (
            {
                "ledger": [
                    {
                        **LEDGER,
                        "hosts": {"web-1": "reverted"},
                        "gate": {"1": {**GATE, "new": ["web-1 uv: test_it"]}},
                    }
                ]
            },
            "reverted, tests failed (R1)",
        ),
        (
            {"ledger": [{**LEDGER, "hosts": {"web-1": "waiting"}, "gate": {"1": GATE}}]},
            "waiting (R1)",
        ),
        (
            {"ledger": [{**LEDGER, "outcome": "refused", "hosts": {"web-1": "waiting"}}]},
            "refused (R1)",
        ),
    ],
)
def test_the_gate_is_that_of_the_run_that_came_last_also_when_it_has_not_ended(
    files: dict[str, list[dict[str, Any]]], gate: str, tmp_path: Path
) -> None:
    for number, (name, records) in enumerate(files.items()):
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(f"{json.dumps(one)}\n" for one in records))
        os.utime(file, (number, number))
    (tmp_path / "R2").mkdir()
    script = reading.LAST.replace(RUNS, str(tmp_path))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    found = parse("web-1", [], said(container("redis"), more=tuple(done.stdout.splitlines())))
    assert found.rows[0].gate == gate


@pytest.mark.parametrize("line", ["no json", "[]", '{"hosts": {}}'])
def test_a_broken_record_is_told_and_no_error(line: str) -> None:
    found = parse("web-1", [], said(container("redis"), more=(f"last {packed(line)}",)))
    assert found.rows[0].gate in ("the last record of a rollout cannot be read", "")


@pytest.mark.parametrize(
    ("since", "words"),
    [
        ("2026-11-21T17:21:00.123456789Z", "39 min"),
        ("2026-11-19T17:21:00Z", "2 d"),
        ("2026-11-21T17:59:30Z", "30 s"),
        ("2027-01-01T00:00:00Z", "0 s"),
        ("", ""),
    ],
)
def test_ages_are_told_in_their_largest_unit(since: str, words: str) -> None:
    assert age(since, datetime(2026, 11, 21, 18, 0, tzinfo=UTC)) == words


# Drift


def plan(*hosts: HostPlan) -> Plan:
    return Plan(uplift="", made="", by="", inventory="", deploys=(), hosts=hosts)


def app(host: str, digest: str, image: str = "c:1", release: str = "1", of: str = "") -> HostStatus:
    row = Row(
        host=host, kind="app", name="console", state="running",
        image=image, digest=digest, release=release, of=of,
    )  # fmt: skip
    return HostStatus(host, True, (row,))


def kinds(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.host, one.kind) for one in found]


def test_hosts_that_are_alike_and_as_wanted_have_no_drift() -> None:
    hosts = [HostPlan(name=name, state="unchanged") for name in ("a", "b")]
    assert findings(plan(*hosts), [app("a", NEW), app("b", NEW)], {}, {}) == []


def test_what_a_run_would_change_is_drift_with_its_lines() -> None:
    changes = Step(name="uv", effect="change", lines=("uv: 1 -> 2",))
    found = findings(plan(HostPlan(name="a", state="changes", steps=(changes,))), [], {}, {})
    assert found == [Finding(host="a", kind="settings", subject="uv", text="uv: 1 -> 2")]


def test_the_same_tag_with_another_digest_is_found_on_the_odd_host() -> None:
    found = findings(plan(), [app("a", NEW), app("b", OLD), app("c", NEW)], {}, {})
    assert kinds(found) == [("b", "digest")]


def test_a_host_behind_names_the_host_ahead() -> None:
    status = [app("a", OLD, "c:1", "1"), app("b", NEW, "c:2", "2")]
    found = findings(plan(), status, {}, {})
    assert kinds(found) == [("a", "behind")]
    assert found[0].text == f"serves 1 ({OLD[:15]}…), b 2 ({NEW[:15]}…)"


@pytest.mark.parametrize(("of", "odd"), [("1", "b"), ("", "a"), ("registry:5000/c:1", "a")])
def test_a_host_that_went_back_is_behind_though_it_did_so_last(of: str, odd: str) -> None:
    status = [app("a", NEW, "c:2", "2"), app("b", OLD, "c:1", "3", of)]
    assert kinds(findings(plan(), status, {}, {})) == [(odd, "behind")]


@pytest.mark.parametrize(
    ("named", "subjects", "orphans"),
    [({}, {}, 1), ({"a": {"cache"}}, {}, 0), ({}, {"a": {"redis"}}, 0), ({"b": {"cache"}}, {}, 1)],
)
def test_a_container_that_nothing_names_is_an_orphan(
    named: dict[str, set[str]], subjects: dict[str, set[str]], orphans: int
) -> None:
    status = HostStatus("a", True, (), (Managed("cache", "cache", "redis"),))
    found = findings(plan(), [status], named, subjects)
    assert kinds(found) == [("a", "orphan")] * orphans


def test_what_does_not_run_as_it_should_is_drift() -> None:
    row = Row(host="a", kind="service", name="redis", state="exited")
    found = findings(plan(), [HostStatus("a", True, (row,))], {}, {})
    assert [(one.kind, one.text) for one in found] == [("state", "exited")]


def test_drift_without_a_site_asks_for_deploy_files(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory.py").write_text("hosts = ['@local']\n")
    assert uplift(["drift", "inventory.py"]) == Exit.USAGE
    assert "name the deploy files" in capsys.readouterr().err


def test_the_slot_at_rest_of_an_application_of_other_settings_is_no_service() -> None:
    own = {"io.uplift.subject": "console"}
    rest = container("console-blue", labels=own, status="exited")
    by = json.dumps({"by": "ada@box"})[1:-1]
    owner = f"owner console {packed(by)}"
    assert [row.name for row in parse("a", [], said(GREEN, rest, more=(owner,))).rows] == [
        "console-green"
    ]
    found = parse("a", [], said(GREEN, rest)).rows
    assert [row.name for row in found] == ["console-blue", "console-green"]
