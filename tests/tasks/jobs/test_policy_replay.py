"""Recorded items through another policy: the tier mix, the cost, and each item that moves."""

from pathlib import Path
from typing import get_args

import pytest

from tests.ledger.moves import Moves, settlement
from tests.ledger.priced import PRICED
from tests.operations.cli.command import Command
from tierqueue.ledger.in_force import evidence
from tierqueue.ledger.in_force.evidence import JudgedAnswer
from tierqueue.ledger.monitoring import outset
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.policy.tables import CeilingRule

ON_BEST = PRICED.replace("[deployments.small]", '[deployments.small]\ntasks = ["another"]')
HOUSE_ONLY = PRICED.partition("[deployments.best]")[0]
DEFAULTS = 'default_sensitivity = "internal"\n'


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    return Moves(ledger)


def answered(moves: Moves, count: int, **stated: object) -> list[str]:
    """So many items that ``small`` answered."""
    claims = moves.claim(submitted(moves, count, **stated)).claimed
    moves.settle(*(settlement(claim, seconds=1.0) for claim in claims))
    return [claim.item.id for claim in claims]


def submitted(moves: Moves, count: int, **stated: object) -> dict[str, int]:
    moves.submit(count, **stated)
    own = {name: value for name, value in stated.items() if name in ("floor", "sensitivity")}
    moves.route(policy="old", route={"reasons": ["r"], "terms": ""}, stated=own)
    return moves.queue()


def policy(folder: Path, text: str) -> str:
    path = folder / "new.toml"
    path.write_text(DEFAULTS + text)
    return str(path)


def test_the_same_policy_moves_nothing(tierqueue: Command, moves: Moves, tmp_path: Path) -> None:
    answered(moves, 3)
    told = tierqueue.json("policy", "replay", policy(tmp_path, PRICED))
    assert told["deployments"] == {"small": {"before": 3, "after": 3}}
    assert (told["items"], told["spent_nanousd"], told["moves"]) == (3, 210, [])
    assert told["expected_nanousd"] >= 210
    assert told["low_nanousd"] <= told["expected_nanousd"] <= told["high_nanousd"]


def test_items_that_would_go_elsewhere_are_named_with_why(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    ids = answered(moves, 2)
    told = tierqueue.json("policy", "replay", policy(tmp_path, ON_BEST))
    assert told["deployments"] == {
        "best": {"before": 0, "after": 2},
        "small": {"before": 2, "after": 0},
    }
    assert {move["item"] for move in told["moves"]} == set(ids)
    assert told["unknown"] == 2
    said = tierqueue("policy", "replay", policy(tmp_path, ON_BEST), "--items", "1")
    assert said.count("small -> best") == 1
    assert "2 items would go elsewhere: 2 task_type" in said
    assert "2 items would go where no answer is known" in said


def test_what_keeps_items_from_where_they_went_is_told_with_its_rule(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    [item] = answered(moves, 1)
    raised = PRICED + '[[floors]]\nfloor = "frontier"\n'
    told = tierqueue.json("policy", "replay", policy(tmp_path, raised))
    assert told["moves"] == [
        {
            "item": item,
            "before": "small",
            "after": "best",
            "rule": "floor",
            "why": "small: frontier or better is needed and this is gpu",
        }
    ]
    said = tierqueue("policy", "replay", policy(tmp_path, raised))
    assert "1 item would go elsewhere: 1 floor" in said


def test_what_would_be_refused_ends_with_1(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    answered(moves, 1, floor="frontier")
    file = policy(tmp_path, HOUSE_ONLY)
    told = tierqueue.json("policy", "replay", file, status=1)
    assert list(told["refused"]) == ["no_route"]
    assert told["moves"][0]["after"] == "nowhere"
    assert "refused: 1 item no_route" in tierqueue("policy", "replay", file, status=1)


def test_what_is_expected_to_be_refused_comes_first_with_examples(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    ids = answered(moves, 5, floor="frontier")
    file = policy(tmp_path, HOUSE_ONLY)
    told = tierqueue.json("policy", "replay", file, status=1)
    assert told["expected_refusals"] == 5
    assert len(told["refused"]["no_route"]) == 5
    examples = told["refused_examples"]["no_route"]
    assert len(examples) == 3
    assert {example["item"] for example in examples} < set(ids)
    assert "no deployment satisfies" in examples[0]["why"]
    said = tierqueue("policy", "replay", file, status=1)
    assert said.startswith("5 of 5 items are expected to be refused")
    assert said.count(": Item ") == 3


def test_ceilings_that_would_be_spent_are_foreseen(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    answered(moves, 3)
    ceiling = '[[ceilings]]\nscope = "budget"\nlimit = "LIMITusd"\n'
    each = tierqueue.json("policy", "replay", policy(tmp_path, ON_BEST))["expected_nanousd"] // 3
    enough_for_two = ceiling.replace("LIMIT", str(2.5 * each / 10**9))
    told = tierqueue.json("policy", "replay", policy(tmp_path, ON_BEST + enough_for_two), status=1)
    assert [len(ids) for ids in told["refused"].values()] == [1]
    [example] = told["refused_examples"]["cost_ceiling"]
    assert "ceiling budget:" in example["why"]
    own = ceiling.replace("LIMIT", "0") + enough_for_two.replace("scope", 'name = "b"\nscope')
    items = tierqueue.json("policy", "replay", policy(tmp_path, ON_BEST + own), status=1)
    assert len(items["refused"]["cost_ceiling"]) in (1, 3)


@pytest.mark.parametrize("scope", get_args(CeilingRule.model_fields["scope"].annotation))
def test_a_ceiling_of_any_scope_is_gone_by(
    tierqueue: Command, moves: Moves, tmp_path: Path, scope: str
) -> None:
    answered(moves, 1)
    rule = f'[[ceilings]]\nscope = "{scope}"\nlimit = "0usd"\n'
    covers = scope not in ("job", "purpose")
    told = tierqueue.json(
        "policy", "replay", policy(tmp_path, ON_BEST + rule), status=1 if covers else 0
    )
    assert len(told["refused"].get("cost_ceiling", [])) == (1 if covers else 0)


def test_a_deadline_that_is_shorter_than_such_calls_take_is_foreseen(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    with moves.ledger.read() as connection:
        in_an_hour = database_now(connection) + 3_600_000_000
    claims = moves.claim(submitted(moves, 40, deadline=in_an_hour)).claimed
    moves.settle(*(settlement(claim, seconds=10_000.0) for claim in claims))
    with moves.ledger.write() as connection:
        judged = JudgedAnswer(claims[0].item.task, "small", True, 10, 10, 10_000.0)
        evidence.add(connection, [judged] * 40)
    told = tierqueue.json("policy", "replay", policy(tmp_path, HOUSE_ONLY), status=1)
    assert len(told["refused"]["deadline"]) == 40
    assert "took 10,000 s on average" in told["refused_examples"]["deadline"][0]["why"]


def test_no_replay_takes_guarded_data_out_of_the_house(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    answered(moves, 1, sensitivity="regulated")
    told = tierqueue.json("policy", "replay", policy(tmp_path, ON_BEST), status=1)
    assert told["deployments"]["nowhere"] == {"before": 0, "after": 1}


def test_a_replay_changes_nothing(tierqueue: Command, moves: Moves, tmp_path: Path) -> None:
    [item_id] = answered(moves, 1)
    before = moves.row(item_id)
    tierqueue("policy", "replay", policy(tmp_path, ON_BEST))
    assert moves.row(item_id) == before
    with moves.ledger.read() as connection:
        assert outset.read(connection).due_at is None


def test_older_items_are_left_out(tierqueue: Command, moves: Moves, tmp_path: Path) -> None:
    moves.submit()
    said = tierqueue("policy", "replay", policy(tmp_path, PRICED), "--since", "1h")
    assert "0 items cost $0.00" in said


def test_a_replay_knows_which_limits_are_set(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    answered(moves, 2)
    new = policy(tmp_path, PRICED)
    (tmp_path / "tierqueue.toml").write_text(DEFAULTS + PRICED)
    assert tierqueue.json("policy", "replay", new)["deployments"]["small"]["after"] == 2
    tierqueue("limits", "set", "small", "tokens_per_minute", "10")
    assert tierqueue.json("policy", "replay", new)["deployments"]["best"]["after"] == 2
