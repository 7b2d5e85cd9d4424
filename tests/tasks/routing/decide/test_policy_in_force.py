"""What has not been called yet obeys the policy in force, whatever it was routed under."""

from typing import Any

import pytest
from sqlalchemy import func, select, update

from tests.ledger.placed import column
from tests.tasks.routing.decide.in_force import (
    BEFORE,
    BEST,
    FRONTIER,
    HOUSE,
    LAX,
    OPEN,
    claim,
    policy_of,
    settled,
    started,
    submit,
    where,
)
from tierqueue.ledger import tables
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.operations import dead_letters
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.item import TIERS, Tier


def pause(ledger: Ledger, kind: str, name: str) -> None:
    with ledger.write() as connection:
        connection.execute(
            tables.pauses.insert().values(kind=kind, name=name, at=0, by="an operator")
        )


def test_twenty_paused_items_go_to_the_floor_that_was_raised_meanwhile(ledger: Ledger) -> None:
    ids = submit(ledger, 20)
    pause(ledger, "task", "ticket")
    settled(started(ledger, BEFORE))
    assert where(ledger, ids) == {("routed", "open")}
    after = started(ledger, BEFORE + FRONTIER)
    settled(after)
    assert where(ledger, ids) == {("routed", "best")}
    with ledger.write() as connection:
        connection.execute(tables.pauses.delete())
    settled(after)
    assert where(ledger, ids) == {("queued", "best")}
    assert {len(claim(ledger, item_id, BEFORE + FRONTIER).claimed) for item_id in ids} == {1}


def test_what_waits_in_a_tier_that_is_paused_leaves_it_with_the_policy(ledger: Ledger) -> None:
    ids = submit(ledger, 3)
    pause(ledger, "tier", Tier.OPEN_WEIGHT)
    settled(started(ledger, BEFORE))
    assert where(ledger, ids) == {("routed", "open")}
    settled(started(ledger, BEFORE + FRONTIER))
    assert where(ledger, ids) == {("queued", "best")}


@pytest.mark.parametrize("state", ["queued", "waiting"])
def test_what_was_queued_or_waits_is_routed_anew_before_it_is_called(
    ledger: Ledger, state: str
) -> None:
    (item_id,) = submit(ledger)
    settled(started(ledger, BEFORE))
    assert where(ledger, [item_id]) == {("queued", "open")}
    if state == "waiting":
        with ledger.write() as connection:
            connection.execute(update(tables.items).values(state="waiting", ready_at=0))
    after = started(ledger, BEFORE + FRONTIER)
    if state == "queued":
        # The slice was sent before: neither an old worker nor a new one may call.
        for text in (BEFORE, BEFORE + FRONTIER):
            assert claim(ledger, item_id, text, "open").claimed == []
    settled(after)
    assert where(ledger, [item_id]) == {("queued", "best")}


def test_a_slice_that_nobody_claimed_is_not_sent_again_under_another_policy(
    ledger: Ledger,
) -> None:
    (item_id,) = submit(ledger)
    settled(started(ledger, BEFORE))
    started(ledger, BEFORE + FRONTIER)
    with ledger.write() as connection:
        later = database_now(connection) + 3_600_000_000
        assert routes.unclaimed(connection, later, later, 10) == []
    assert column(ledger, item_id, "state") == "submitted"


CHANGES = {
    "a floor is raised": (BEFORE + FRONTIER, ("queued", "best")),
    "a default is stricter": (OPEN + BEST + HOUSE, ("queued", "house")),
    "a default is stricter, and nothing may do it": (OPEN + BEST, ("dead", "no_route")),
    "a limit is lower": (
        BEFORE + '[tasks.ticket]\nmax_cost = "0.0001usd"\n',
        ("dead", "cost_ceiling"),
    ),
    "a boundary moved": (
        LAX + OPEN.replace("vendor:opens", "vendor:others") + BEST,
        ("queued", "open"),
    ),
    "a price rose": (LAX + OPEN.replace('"2"', '"900"') + BEST, ("queued", "best")),
    "a deployment is taken out": (LAX + BEST, ("queued", "best")),
    "every deployment is taken out": (LAX, ("dead", "no_route")),
    "a deployment moved to another tier": (
        LAX + OPEN.replace("open_weight", "frontier"),
        ("queued", "open"),
    ),
    "a cheaper one came": (BEFORE + HOUSE, ("queued", "house")),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("state", ["routed", "queued", "waiting"])
def test_whatever_changes_in_the_policy_counts_for_what_was_routed_before(
    ledger: Ledger, change: str, state: str
) -> None:
    text, (expected, place) = CHANGES[change]
    (item_id,) = submit(ledger)
    settled(started(ledger, BEFORE))
    with ledger.write() as connection:
        connection.execute(update(tables.items).values(state=state, ready_at=0))
    after = started(ledger, text)
    if state == "queued":
        claim(ledger, item_id, BEFORE)
    settled(after)
    found = (column(ledger, item_id, "state"), column(ledger, item_id, "deployment"))
    reason = column(ledger, item_id, "reason")
    assert (found if expected == "queued" else (found[0], reason)) == (expected, place)
    if expected == "queued":
        tier = policy_of(text).deployments[place].tier
        assert column(ledger, item_id, "tier") == tier
        assert len(claim(ledger, item_id, text).claimed) == 1
        assert column(ledger, item_id, "held") == column(ledger, item_id, "bound")


def test_what_an_item_states_itself_and_its_deadline_stay(ledger: Ledger) -> None:
    stated: dict[str, Any] = {"risk": "internal", "sensitivity": "public", "budget": "acme"}
    stated |= {"max_cost": 90_000_000, "floor": "open_weight"}
    (item_id,) = submit(ledger, **stated)
    (unstated,) = submit(ledger)
    settled(started(ledger, BEFORE + '[tasks.ticket]\nbudget = "old"\ndeadline = "2h"\n'))
    deadline = column(ledger, unstated, "deadline")
    settled(started(ledger, BEFORE + '[tasks.ticket]\nbudget = "new"\ndeadline = "1h"\n'))
    assert {name: column(ledger, item_id, name) for name in stated} == stated
    assert column(ledger, unstated, "budget") == "new"
    assert column(ledger, unstated, "deadline") == deadline


def test_a_replay_changes_what_an_item_states_itself(ledger: Ledger) -> None:
    (item_id,) = submit(ledger, max_cost=1)
    stage = started(ledger, BEFORE)
    settled(stage)
    assert column(ledger, item_id, "reason") == "cost_ceiling"
    with ledger.write() as connection:
        dead_letters.replay(connection, [item_id], "me", floor=Tier.FRONTIER, max_cost=900_000_000)
    settled(stage)
    assert where(ledger, [item_id]) == {("queued", "best")}
    settled(started(ledger, BEFORE + HOUSE))
    claim(ledger, item_id, BEFORE + HOUSE)
    assert column(ledger, item_id, "floor") == "frontier"


def test_the_routing_stage_with_the_older_policy_stands_aside(ledger: Ledger) -> None:
    older, newer = started(ledger, BEFORE), started(ledger, BEFORE + FRONTIER)
    (item_id,) = submit(ledger)
    assert not older.heartbeat_detail()["moments"]["superseded"]
    settled(older)
    assert column(ledger, item_id, "state") == "submitted"
    assert older.heartbeat_detail()["moments"]["superseded"]
    settled(newer)
    settled(older)
    assert where(ledger, [item_id]) == {("queued", "best")}


def test_a_worker_that_knows_its_deployment_otherwise_leaves_the_item_to_another(
    ledger: Ledger,
) -> None:
    (item_id,) = submit(ledger)
    settled(started(ledger, BEFORE))
    expensive = LAX + OPEN.replace('"2"', '"3"') + BEST
    assert claim(ledger, item_id, expensive).claimed == []
    assert column(ledger, item_id, "state") == "waiting"
    assert column(ledger, item_id, "reason") == "other_policy"
    with ledger.write() as connection:
        connection.execute(update(tables.items).values(state="queued"))
    # Another policy that says the same of the deployment changes nothing for its calls.
    assert len(claim(ledger, item_id, BEFORE + "[retry]\nbase = 2.0\n").claimed) == 1


def test_more_than_one_look_routes_anew_is_routed_anew_in_several(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tierqueue.workers.routing_stage.stage.BATCH", 7)
    ids = submit(ledger, 20)
    pause(ledger, "task", "ticket")
    settled(started(ledger, BEFORE))
    after = started(ledger, BEFORE + FRONTIER)
    for _ in range(len(TIERS) + 20):
        after.round()
    assert where(ledger, ids) == {("routed", "best")}
    with ledger.read() as connection:
        attempts = select(func.count()).select_from(tables.attempts)
        assert connection.execute(attempts).scalar_one() == 0
