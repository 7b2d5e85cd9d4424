"""An accepted answer answers again, in the routing stage: once allowed, and within every wall."""

from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from tests.ledger.placed import column, place
from tests.tasks.routing.asked_again import ANSWER, HOUSE, RECEIPT, REUSE, asked, policy
from tests.tasks.routing.tickets import FOREIGN, arguments
from tests.workers.routing_stage.test_surrogates_at_work import stage_on, told
from tierqueue.ledger.accounting.audit import audit as discrepancies
from tierqueue.ledger.evaluation import labels
from tierqueue.ledger.evaluation.labels import Label
from tierqueue.ledger.in_force import pauses, reusable_answers
from tierqueue.ledger.in_force.reusable_answers import ReuseKey
from tierqueue.ledger.operations import erasure
from tierqueue.ledger.results.promises import Promise, make_once
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items, surrogate_audits
from tierqueue.ledger.tables import reusable as table
from tierqueue.router.policy.policy import Policy, parse_policy


def routed(ledger: Ledger, stated: Policy | None = None) -> None:
    """One round of a routing stage."""
    stage_on(ledger, stated or policy())[0].round()


def answer(ledger: Ledger, item_id: str, **receipt: Any) -> None:
    """What the model says of an item that was routed to it."""
    assert column(ledger, item_id, "state") == "queued"
    ended = {"state": "succeeded", "output": ANSWER, "receipt": {**RECEIPT, **receipt}}
    with ledger.write() as connection:
        at = select(func.max(items.c.submitted_at)).scalar_subquery()
        connection.execute(update(items).where(items.c.id == item_id).values(**ended, ended_at=at))


def first(ledger: Ledger, **columns: Any) -> str:
    """An item whose answer a model gave."""
    item_id = asked(ledger, **columns)
    routed(ledger)
    answer(ledger, item_id)
    return item_id


def state_of(ledger: Ledger, item_id: str) -> tuple[str, str]:
    """Where an item is and whose it is."""
    return column(ledger, item_id, "state"), column(ledger, item_id, "tier")


REUSED = ("succeeded", "reused")
ASKED = ("queued", "gpu")


def test_an_item_that_asks_the_same_has_the_answer_at_no_cost(ledger: Ledger) -> None:
    source = first(ledger)
    again, other = asked(ledger), asked(ledger, FOREIGN)
    with ledger.write() as connection:
        make_once(connection, Promise(id=again, item_id=again, task="tierqueue.classify"), 1)
    stage, delivery = stage_on(ledger, policy())
    stage.round()
    assert (state_of(ledger, again), state_of(ledger, other)) == (REUSED, ASKED)
    assert column(ledger, again, "output") == ANSWER
    receipt = column(ledger, again, "receipt")
    assert receipt["reused_from"] == source
    assert (receipt["tier"], receipt["deployment"], receipt["attempts"]) == ("gpu", "house", 0)
    assert (receipt["cost_nanousd"], receipt["confidence"]) == (0, 0.9)
    assert column(ledger, again, "deployment") is None
    assert told(delivery)[again]["receipt"]["reused_from"] == source
    assert stage.heartbeat_detail()["counts"]["reused"] == 1
    with ledger.read() as connection:
        assert discrepancies(connection) == []


def test_what_does_not_opt_in_is_neither_reused_nor_written_down(ledger: Ledger) -> None:
    stated = policy("")
    item_id = asked(ledger)
    routed(ledger, stated)
    answer(ledger, item_id)
    again = asked(ledger)
    routed(ledger, stated)
    assert state_of(ledger, again) == ASKED
    with ledger.read() as connection:
        assert connection.execute(select(func.count()).select_from(table)).scalar() == 0


@pytest.mark.parametrize(
    "columns",
    [
        {"budget": "other"},
        {"sensitivity": "confidential"},
        {"sensitivity": "public"},
        {"inherits": "regulated"},
        {"risk": "internal"},
        {"output_limit": 17},
        {"min_confidence": 0.5, "arguments": arguments("the app", min_confidence=0.5)},
        {"fresh": True},
        {"pinned": "gpu"},
        {"calls": 1},
        {"too_small": {"elsewhere": "context_window"}},
    ],
    ids=str,
)
def test_another_tenant_or_demand_is_asked_by_itself(
    ledger: Ledger, columns: dict[str, Any]
) -> None:
    first(ledger)
    again = asked(ledger, **columns)
    routed(ledger)
    assert state_of(ledger, again) == ASKED


@pytest.mark.parametrize(
    "receipt",
    [
        {"deployment": "gone"},
        {"tier": "open_weight"},
        {"tier": "review"},
        {"model_asked": "smaller"},
        {"other_model": True},
        {"degraded_from": {"to": "gpu", "from": "best", "on": "outage"}},
        {"simulated": True},
    ],
    ids=str,
)
def test_an_answer_that_nobody_would_give_today_is_not_reused(
    ledger: Ledger, receipt: dict[str, Any]
) -> None:
    source = asked(ledger)
    routed(ledger)
    answer(ledger, source, **receipt)
    again = asked(ledger)
    routed(ledger)
    assert state_of(ledger, again) == ASKED


BEST = """
[deployments.best]
tier = "frontier"
engine = "openai"
model = "large"
base_url = "https://models.example/v1"
key_env = "BEST_KEY"
boundary = "vendor:best"
context_window = 8000
prices = { input = "1", output = "1" }
"""


def test_an_answer_from_below_a_new_floor_is_not_reused(ledger: Ledger) -> None:
    first(ledger)
    floor = '[[floors]]\ntask = "tierqueue.classify"\nfloor = "frontier"\n'
    again = asked(ledger)
    routed(ledger, policy(BEST + REUSE + floor))
    assert state_of(ledger, again) == ("queued", "frontier")


def test_an_answer_of_a_higher_tier_does_and_one_behind_a_new_wall_does_not(
    ledger: Ledger,
) -> None:
    higher = {"tier": "frontier", "deployment": "best", "model_asked": "large"}
    stated = policy(BEST + REUSE)
    source = asked(ledger)
    routed(ledger, stated)
    answer(ledger, source, **higher)
    again = asked(ledger)
    routed(ledger, stated)
    assert state_of(ledger, again) == REUSED
    walled = BEST.replace("[deployments.best]", "[deployments.best]\ntasks = ['t.other']")
    later = asked(ledger)
    routed(ledger, policy(walled + REUSE))
    assert state_of(ledger, later) == ASKED


def test_an_answer_lives_as_long_as_the_policy_says_and_a_younger_one_follows(
    ledger: Ledger,
) -> None:
    source = first(ledger)
    with ledger.write() as connection:
        old = items.c.ended_at - 25 * 3_600_000_000
        connection.execute(update(items).where(items.c.id == source).values(ended_at=old))
    second = asked(ledger)
    routed(ledger)
    assert state_of(ledger, second) == ASKED
    answer(ledger, second)
    third = asked(ledger)
    routed(ledger)
    assert column(ledger, third, "receipt")["reused_from"] == second


def test_one_that_is_still_asked_is_not_waited_for(ledger: Ledger) -> None:
    source, beside = asked(ledger), asked(ledger)
    routed(ledger)
    later = asked(ledger)
    routed(ledger)
    assert {state_of(ledger, one) for one in (source, beside, later)} == {ASKED}
    with ledger.read() as connection:
        [row] = connection.execute(select(table)).all()
    assert row.item_id in (source, beside)


def test_a_dead_one_answers_nothing(ledger: Ledger) -> None:
    source = first(ledger)
    with ledger.write() as connection:
        dead = {"state": "dead", "output": None, "receipt": None}
        connection.execute(update(items).where(items.c.id == source).values(**dead))
    again = asked(ledger)
    routed(ledger)
    assert state_of(ledger, again) == ASKED


def judge(ledger: Ledger, item_id: str, label: Label) -> None:
    """What somebody says of an item's answer."""
    with ledger.write() as connection:
        found = labels.judgeable(connection, item_id)
        assert found is not None
        labels.put(connection, found, label)


@pytest.mark.parametrize("corrected", [None, {"label": "card", "confidence": None}])
def test_an_answer_that_somebody_called_wrong_is_not_reused(
    ledger: Ledger, corrected: dict[str, Any] | None
) -> None:
    judge(ledger, first(ledger), Label(correct=False, by="ana", corrected=corrected))
    again = asked(ledger)
    routed(ledger)
    assert state_of(ledger, again) == ASKED


def test_a_reused_answer_that_is_called_wrong_is_reused_no_more(ledger: Ledger) -> None:
    first(ledger)
    second = asked(ledger)
    routed(ledger)
    assert state_of(ledger, second) == REUSED
    judge(ledger, second, Label(correct=False, by="ana"))
    third = asked(ledger)
    routed(ledger)
    assert state_of(ledger, third) == ASKED


def test_an_answer_that_is_called_right_is_reused_still(ledger: Ledger) -> None:
    judge(ledger, first(ledger), Label(correct=True, by="ana"))
    again = asked(ledger)
    routed(ledger)
    assert state_of(ledger, again) == REUSED


def test_an_erased_answer_is_not_reused_and_what_was_asked_is_forgotten(ledger: Ledger) -> None:
    source = first(ledger)
    with ledger.write() as connection:
        assert erasure.erase(connection, [source], "ana", "asked for") == [source]
        assert connection.execute(select(table)).all() == []
    again = asked(ledger)
    routed(ledger)
    assert state_of(ledger, again) == ASKED


def test_what_is_erased_between_the_look_and_the_writing_answers_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = first(ledger)
    again = asked(ledger)
    stage, _ = stage_on(ledger, policy())
    ahead = stage._choose_ahead()
    assert [one.of for one in ahead.answered] == [source]
    monkeypatch.setattr(stage, "_choose_ahead", lambda: ahead)
    with ledger.write() as connection:
        erasure.erase(connection, [source], "ana", "asked for")
    stage.round()
    assert state_of(ledger, again) == ASKED


def test_a_paused_budget_is_not_answered(ledger: Ledger) -> None:
    first(ledger)
    with ledger.write() as connection:
        pauses.pause(connection, "budget", "default", "me")
    again = asked(ledger)
    routed(ledger)
    assert column(ledger, again, "state") == "routed"


def test_an_answer_that_a_changed_check_refuses_is_not_reused(ledger: Ledger) -> None:
    source = first(ledger)
    with ledger.write() as connection:
        other = {"label": "no such label", "confidence": None}
        connection.execute(update(items).where(items.c.id == source).values(output=other))
    again = asked(ledger)
    routed(ledger)
    assert state_of(ledger, again) == ASKED


def test_keys_go_once_they_are_too_old_to_answer(ledger: Ledger) -> None:
    item_id = place(ledger, "succeeded")
    with ledger.write() as connection:
        connection.execute(delete(table))
        for number in range(5):
            reusable_answers.ask(connection, [ReuseKey(f"key-{number}", item_id)], number)
        assert reusable_answers.expire(connection, 4, 3) == 3
        assert reusable_answers.expire(connection, 4, 3) == 1
        assert connection.execute(select(table.c.key)).scalars().all() == ["key-4"]


def test_thirty_days_is_the_longest_that_an_answer_may_live() -> None:
    from tierqueue.router.errors import InvalidPolicy

    with pytest.raises(InvalidPolicy, match="an answer is reused for 30d at the most"):
        parse_policy(HOUSE + REUSE.replace("24h", "31d"), "test")


def test_what_is_asked_under_another_prompt_is_neither_reused_nor_reuses(ledger: Ledger) -> None:
    prompt = '[tasks."tierqueue.classify".prompt]\nsystem = "Be brief."\nshare = 1.0\n'
    source, other = first(ledger), asked(ledger, FOREIGN)
    again = asked(ledger)
    routed(ledger, policy(REUSE + prompt))
    assert column(ledger, again, "prompt") is not None
    assert state_of(ledger, again) == state_of(ledger, other) == ASKED
    with ledger.read() as connection:
        noted = connection.execute(select(surrogate_audits)).all()
        askers = connection.execute(select(table.c.item_id)).scalars().all()
    assert [(row.item_id, row.version, row.answer) for row in noted] == [(again, "reused", None)]
    assert askers == [source]
