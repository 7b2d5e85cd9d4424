"""A predictor that a policy names has a part in where items go, and says so."""

from pathlib import Path
from typing import Any

import pytest

from tests.ledger.placed import column, place
from tests.operations.cli.command import Command
from tests.tasks.routing.gains import EASY, HARD, TASK, policy, text
from tests.workers.routing_stage.test_surrogates_at_work import stage_on
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import Misconfigured
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.selection.evidence import probes
from tierqueue.tasks.routing.predictors import Predictors

PLAIN = [f"item-{number}" for number in range(20) if not probes(f"item-{number}")]


def submitted(ledger: Ledger, at: int, prompt: Any, **columns: Any) -> str:
    own = dict.fromkeys(("tier", "deployment", "budget", "bound", "token_bound"))
    own |= {"id": PLAIN[at], "task": TASK, "arguments": {"prompt": prompt}, **columns}
    return place(ledger, "submitted", **own)


def test_a_hard_item_goes_where_it_is_likely_to_be_right(ledger: Ledger, tmp_path: Path) -> None:
    hard, easy = submitted(ledger, 0, HARD), submitted(ledger, 1, EASY)
    stage_on(ledger, policy(tmp_path))[0].round()
    assert column(ledger, hard, "deployment") == "best"
    assert column(ledger, easy, "deployment") == "small"
    route = column(ledger, hard, "route")
    assert route["predictor"] == next(iter(policy(tmp_path).predictors))
    assert any("open_weight is right with a chance of 0" in why for why in route["reasons"])


def test_what_a_mistake_costs_decides_where_the_policy_says_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    easy, hard = submitted(ledger, 0, EASY), submitted(ledger, 1, HARD)
    stage_on(ledger, policy(tmp_path, 'mistake = "0"\n'))[0].round()
    assert {column(ledger, item, "deployment") for item in (easy, hard)} == {"small"}
    again = submitted(ledger, 2, HARD)
    stage_on(ledger, policy(tmp_path, 'mistake = "5"\n'))[0].round()
    assert column(ledger, again, "deployment") == "best"


def test_what_it_says_moves_no_item_through_a_wall(ledger: Ledger, tmp_path: Path) -> None:
    walled = text(tmp_path).replace('tier = "frontier"', 'tier = "frontier"\ntasks = ["another"]')
    item = submitted(ledger, 0, HARD)
    stage_on(ledger, parse_policy(walled, "test"))[0].round()
    assert column(ledger, item, "deployment") == "small"
    floored = submitted(ledger, 1, EASY, floor="frontier")
    stage_on(ledger, policy(tmp_path))[0].round()
    assert column(ledger, floored, "deployment") == "best"


def test_of_a_text_that_is_not_there_yet_nothing_is_said(ledger: Ledger, tmp_path: Path) -> None:
    item = submitted(ledger, 0, {"item": "another"})
    stage_on(ledger, policy(tmp_path))[0].round()
    assert column(ledger, item, "deployment") == "small"
    assert "predictor" not in column(ledger, item, "route")


def test_a_draw_goes_by_the_bounds_and_names_no_predictor(ledger: Ledger, tmp_path: Path) -> None:
    probing = next(f"i-{number}" for number in range(1_000) if probes(f"i-{number}"))
    item = submitted(ledger, 0, HARD, id=probing)
    stage_on(ledger, policy(tmp_path))[0].round()
    assert column(ledger, item, "deployment") == "small"
    assert "predictor" not in column(ledger, item, "route")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (("gain.safetensors", "gone.safetensors"), "cannot be read: No such file"),
        (('sha256 = "', 'sha256 = "' + "0" * 64 + '"\n# "'), "another file lies there"),
        (
            ('[tasks."tierqueue.complete"', '[tasks."tierqueue.complet"'),
            "no task type that it was trained for 'tierqueue.complet'",
        ),
    ],
)
def test_a_file_that_is_not_what_the_policy_names_is_refused_before_it_is_applied(
    tierqueue: Command, tmp_path: Path, wrong: tuple[str, str], why: str
) -> None:
    named = text(tmp_path).replace(*wrong)
    with pytest.raises(Misconfigured) as refused:
        Predictors(parse_policy(named, "test"))
    assert why in refused.value.message
    path = tmp_path / "new.toml"
    path.write_text(named)
    checked = tierqueue.json("policy", "check", str(path), status=1)
    assert why in checked["error"]
    assert why in " ".join(tierqueue.complaint("policy", "apply", str(path)).split())
    assert tierqueue.json("policy", "history")["versions"] == []


def test_a_predictor_is_part_of_the_policys_version(tmp_path: Path) -> None:
    assert policy(tmp_path).digest != parse_policy(text(tmp_path, sha="0" * 64), "test").digest


def test_a_replay_says_what_it_changes(tierqueue: Command, ledger: Ledger, tmp_path: Path) -> None:
    for at, prompt in enumerate((HARD, EASY, HARD)):
        submitted(ledger, at, prompt)
    without = text(tmp_path).partition("[tasks.")[0]
    stage_on(ledger, parse_policy(without, "test"))[0].round()
    path = tmp_path / "new.toml"
    path.write_text(text(tmp_path))
    told = tierqueue.json("policy", "replay", str(path))
    version = next(iter(policy(tmp_path).predictors))
    assert told["predictors"] == {version: {"asked": 3, "elsewhere": 2}}
    assert told["without_predictors_nanousd"] < told["expected_nanousd"]
    said = " ".join(tierqueue("policy", "replay", str(path)).split())
    assert f"{version} was asked for 3 items: 2 items go elsewhere" in said


def test_other_task_types_and_policies_without_one_ask_nobody(tmp_path: Path) -> None:
    predictors = Predictors(policy(tmp_path))
    assert predictors.of(TASK, {"prompt": HARD}, None) != predictors.of(
        TASK, {"prompt": EASY}, None
    )
    assert predictors.of("another", {"prompt": HARD}, None) is None
    assert not Predictors(parse_policy(text(tmp_path).partition("[tasks.")[0], "test"))
