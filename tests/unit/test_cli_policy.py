"""The policy of a rollout and of a rollback: the command line, a file, the settings, a default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from uplift.cli import rollback, rollout
from uplift.cli.main import run
from uplift.remote.inventory import InventoryHost
from uplift.rollout.run import Request
from uplift.spec.errors import Exit
from uplift.spec.rollout import Policy

BLOCK = {
    "waves": ["databases", "apps:1", "apps"],
    "gate": ["gates"],
    "bake": "1m",
    "on_failure": "revert-fleet",
    "pause_after": [1, 2],
    "hooks": [{"at": "end", "run": ["true"]}],
}

Asked = Callable[..., Policy | str]


def fleet(block: Mapping[str, Any] | None) -> list[InventoryHost]:
    data = {} if block is None else {"rollout": block}
    return [InventoryHost(f"web-{n}", ("apps",), data) for n in (1, 2, 3)]


@pytest.fixture
def asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Asked:
    """Call `uplift`, and return the policy that comes of it or what is wrong with it."""
    monkeypatch.chdir(tmp_path)
    for name in ("deploys", "gates", "others", "tests/verify"):
        Path(name).mkdir(parents=True)
    for name in ("deploys/rollback.py", "deploys/site.py"):
        Path(name).touch()
    done = SimpleNamespace(exit_code=Exit.DONE, before=(), after=())

    def call(words: Sequence[str], hosts: list[InventoryHost]) -> Policy | str:
        found: list[Policy] = []

        def rolled_back(*given: Any, policy: Any, **more: Any) -> Any:
            found.append(policy(hosts))
            return done

        def begun(request: Request, tell: Any) -> Any:
            found.append(request.policy)
            return done

        monkeypatch.setattr(rollback, "roll_back", rolled_back)
        monkeypatch.setattr(rollout, "begin", begun)
        monkeypatch.setattr(rollout, "shown", lambda result, want_json: Exit.DONE)
        monkeypatch.setattr(rollout.inventories, "hosts", lambda *given: hosts)
        code = run([*words])
        said = capsys.readouterr().err
        assert code == (Exit.DONE if found else Exit.USAGE), said
        return found[0] if found else said

    return call


BACK = ("rollback", "i.py", "console")
OUT = ("rollout", "i.py", "deploys/site.py", "-y")


def test_without_any_word_a_rollback_takes_all_hosts_at_once_and_asks_no_test(asked: Asked) -> None:
    assert asked(BACK, fleet(None)) == Policy(waves=("100%",))
    assert asked(OUT, fleet(None)) == Policy(gate=("tests/verify",))


def test_the_block_of_the_settings_holds_for_a_rollback_as_for_a_rollout(asked: Asked) -> None:
    block = {**BLOCK, "waves": ["apps:1", "apps"], "pause_after": [1]}
    there = Policy.parse(block, path="rollout")
    assert asked(BACK, fleet(block)) == there
    assert asked(OUT, fleet(block)) == there


def test_what_the_block_does_not_say_stays_as_the_command_has_it(asked: Asked) -> None:
    block = {"on_failure": "revert-wave"}
    assert asked(BACK, fleet(block)) == Policy(waves=("100%",), on_failure="revert-wave")
    kept = Policy(gate=("tests/verify",), on_failure="revert-wave")
    assert asked(OUT, fleet(block)) == kept


@pytest.mark.parametrize("words", [BACK, OUT], ids=["rollback", "rollout"])
def test_the_command_line_comes_before_the_block(words: Sequence[str], asked: Asked) -> None:
    block = {**BLOCK, "waves": ["apps"], "pause_after": []}
    said: tuple[str, ...] = ("--waves", "1,2", "--gate", "others", "--bake", "5s")
    said += ("--on-failure", "hold", "--partial-revert")
    found = asked([*words, *said], fleet(block))
    assert isinstance(found, Policy)
    assert (found.waves, found.gate, found.bake) == (("1", "2"), ("others",), 5)
    assert (found.on_failure, len(found.hooks), found.partial_revert) == ("hold", 1, True)
    found = asked([*words, "--no-gate"], fleet(block))
    assert isinstance(found, Policy)
    assert found.gate == ()
    Path("p.yaml").write_text("bake: 7s\nwaves: [apps]\n")
    found = asked([*words, "--policy", "p.yaml"], fleet(block))
    assert isinstance(found, Policy)
    assert (found.bake, found.hooks) == (7, ())


def test_waves_and_pauses_that_a_rollback_has_no_hosts_for_are_passed_over(asked: Asked) -> None:
    # No host of the application is a database.
    found = asked(BACK, fleet(BLOCK))
    assert isinstance(found, Policy)
    assert (found.waves, found.pause_after) == (("apps:1", "apps"), (1,))
    found = asked(BACK, fleet({**BLOCK, "waves": ["databases"]}))
    assert isinstance(found, Policy)
    assert (found.waves, found.pause_after) == (("100%",), ())
    # Who types them has made a mistake.
    assert "'databases' is no size" in str(asked([*BACK, "--waves", "databases,1"], fleet(BLOCK)))


def test_a_wave_bakes_only_where_there_are_tests_and_who_types_it_without_is_told(
    asked: Asked,
) -> None:
    block = {"bake": "1m"}
    found = asked(OUT, fleet(block))
    assert isinstance(found, Policy)
    assert (found.gate, found.bake) == (("tests/verify",), 60)
    for words in (BACK, [*BACK, "--no-gate"], [*OUT, "--no-gate"]):
        found = asked(words, fleet(block))
        assert isinstance(found, Policy)
        assert (found.gate, found.bake) == ((), 0)
    found = asked([*BACK, "--bake", "5s"], fleet(block))
    # It is refused later, where what cannot be begun is.
    assert isinstance(found, Policy)
    assert found.bake == 5


@pytest.mark.parametrize("words", [BACK, OUT], ids=["rollback", "rollout"])
def test_hosts_with_different_blocks_are_refused(words: Sequence[str], asked: Asked) -> None:
    hosts = [*fleet(BLOCK)[:1], *fleet(None)[1:]]
    assert "web-1 and web-2 have different `rollout` settings" in str(asked(words, hosts))
