"""A filter of a list that nothing bears is refused, with what was perhaps meant."""

import pytest
from sqlalchemy import update

from tests.ledger.moves import Moves
from tests.operations.cli.command import ONE_DEPLOYMENT, Command
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items as item_table

POLICY = ONE_DEPLOYMENT


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    return Moves(ledger)


LISTS = (
    ["item", "list"],
    ["dead-letters", "list"],
    ["dead-letters", "replay"],
    ["dead-letters", "discard", "--yes"],
    ["dead-letters", "export", "out.jsonl"],
)


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
@pytest.mark.parametrize(
    ("option", "typo", "near"),
    [
        ("--budget", "acmee", "there is no budget 'acmee'; did you mean 'acme'?"),
        ("--task", "tierqueue.clasify", "did you mean 'tierqueue.classify'?"),
        ("--deployment", "bets", "there is no deployment 'bets'; did you mean 'best'?"),
        ("--reason", "cost_cieling", "did you mean 'cost_ceiling'?"),
        ("--tier", "fronteir", "did you mean 'frontier'?"),
        ("--job", "none", "there is no job none"),
    ],
)
def test_a_filter_that_nothing_bears_is_refused_and_is_no_empty_list(
    tierqueue: Command, moves: Moves, words: list[str], option: str, typo: str, near: str
) -> None:
    moves.submit(budget="acme")
    assert near in " ".join(tierqueue.complaint(*words, option, typo).split())


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--task", "tierqueue.classify"),
        ("--deployment", "best"),
        ("--reason", "cost_ceiling"),
        ("--reason", "throttled"),
        ("--reason", "in_flight"),
        ("--reason", "outage"),
    ],
)
def test_a_name_that_an_item_could_bear_finds_an_empty_list(
    tierqueue: Command, moves: Moves, option: str, name: str
) -> None:
    assert tierqueue.json("item", "list", option, name) == []


def test_a_name_that_other_items_bear_is_known_whoever_declared_it(
    tierqueue: Command, moves: Moves
) -> None:
    moves.submit(task="team.own", budget="acme")
    for words in (["--task", "team.own"], ["--budget", "acme"]):
        assert tierqueue.json("dead-letters", "list", *words) == []


def test_nothing_is_both_new_and_old(tierqueue: Command) -> None:
    for words in (["item", "list"], ["dead-letters", "list"]):
        said = tierqueue.complaint(*words, "--since", "1h", "--older-than", "2h")
        assert "--since is the longer of the two" in said


def test_the_history_of_a_ceiling_over_nothing_is_refused(tierqueue: Command, moves: Moves) -> None:
    moves.submit(budget="acme")
    said = tierqueue.complaint("ceilings", "history", "budget:acmee")
    assert "did you mean 'acme'?" in said
    assert "did you mean 'best'?" in tierqueue.complaint("ceilings", "history", "deployment:bets")
    assert tierqueue.json("ceilings", "history", "budget:acme") == []


def test_a_reason_finds_items_whatever_its_detail(tierqueue: Command, moves: Moves) -> None:
    whole = {"ceiling budget:acme:day:2026-11-26", "requests_per_minute, in_flight", "throttled"}
    ids = [moves.submit()[0] for _ in whole]
    with moves.ledger.write() as connection:
        for item_id, reason in zip(ids, sorted(whole), strict=True):
            waits = update(item_table).where(item_table.c.id == item_id)
            connection.execute(waits.values(state="waiting", reason=reason))

    def found(code: str) -> set[str]:
        return {row["reason"] for row in tierqueue.json("item", "list", "--reason", code)}

    assert found("ceiling") == {"ceiling budget:acme:day:2026-11-26"}
    assert found("in_flight") == {"requests_per_minute, in_flight"}
    assert found("requests_per_minute") == {"requests_per_minute, in_flight"}
    assert found("throttled") == {"throttled"}
