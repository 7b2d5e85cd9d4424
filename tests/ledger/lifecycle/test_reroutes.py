"""Items of a deployment that cannot serve: who is sent back, who is lent, who is put on trial."""

from typing import Any

import pytest

from tests.ledger.placed import column, place
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.lifecycle import reroutes
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import Tier

FALLBACK = {"on_outage": "frontier"}
PAUSED = Pause("budget", "acme", at=0, by="me")


def states(ledger: Ledger, *ids: str) -> list[str]:
    return [column(ledger, item_id, "state") for item_id in ids]


def send_back(ledger: Ledger, most: int = 10, *, fallbacks_only: bool = False) -> int:
    with ledger.write() as connection:
        return reroutes.send_back(
            connection, Tier.GPU, "house", most, fallbacks_only=fallbacks_only
        )


def trial(ledger: Ledger, *paused: Pause) -> str | None:
    with ledger.write() as connection:
        ready = reroutes.queue_for_trial(connection, Tier.GPU, "house", 77, paused)
    return None if ready is None else ready.id


def test_what_was_routed_before_the_outage_and_what_waits_for_its_end_goes_back(
    ledger: Ledger,
) -> None:
    routed = place(ledger, "routed")
    waiting = place(ledger, "waiting", reason=reroutes.WAITS[0])
    others = (
        place(ledger, "routed", deployment="other"),
        place(ledger, "routed", reason=reroutes.WAITS[0]),
        place(ledger, "waiting", reason="cost_ceiling"),
        place(ledger, "running"),
        place(ledger, "queued"),
    )
    before = states(ledger, *others)
    assert send_back(ledger) == 2
    assert states(ledger, routed, waiting) == ["submitted", "submitted"]
    assert states(ledger, *others) == before
    assert send_back(ledger) == 0


def test_no_more_go_back_at_once_than_are_asked_for(ledger: Ledger) -> None:
    ids = [place(ledger, "routed") for _ in range(5)]
    assert [send_back(ledger, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert set(states(ledger, *ids)) == {"submitted"}


def test_where_only_fallbacks_go_nobody_falls_back_twice_or_unasked(ledger: Ledger) -> None:
    allowed = place(ledger, "routed", fallback=FALLBACK)
    left = (
        place(ledger, "routed"),
        place(ledger, "routed", fallback={"on_outage": None}),
        place(ledger, "routed", fallback=FALLBACK, degraded={"from": "gpu"}),
    )
    assert send_back(ledger, fallbacks_only=True) == 1
    assert states(ledger, allowed) == ["submitted"]
    assert set(states(ledger, *left)) == {"routed"}


def test_once_another_deployment_serves_whoever_waits_may_be_routed_anew(ledger: Ledger) -> None:
    waits = place(ledger, "routed", reason=reroutes.WAITS[0])
    elsewhere = place(ledger, "routed", reason=reroutes.WAITS[0], deployment="other")
    with ledger.write() as connection:
        reroutes.reconsider(connection, {"house"})
    assert column(ledger, waits, "reason") is None
    assert column(ledger, elsewhere, "reason") == reroutes.WAITS[0]
    assert send_back(ledger) == 1


def test_borrowing_goes_on_where_it_stopped_and_takes_each_item_once(ledger: Ledger) -> None:
    ids = sorted(place(ledger, "routed") for _ in range(5))
    place(ledger, "routed", tier="frontier")
    after, taken = "", []
    for expected in (ids[1], ids[3], ""):
        with ledger.write() as connection:
            after = reroutes.borrow(connection, Tier.GPU, {"house"}, after, 2)
        assert after == expected
        taken.append(states(ledger, *ids).count("submitted"))
    assert taken == [2, 4, 5]


@pytest.mark.parametrize(
    "turned_away",
    [{"lost_claims": 1}, {"throttles": 1}, {"due": 9}],
    ids=lambda one: next(iter(one)),
)
def test_who_was_turned_away_least_is_tried_first(
    ledger: Ledger, turned_away: dict[str, Any]
) -> None:
    second = place(ledger, "routed", **{"due": 1, **turned_away})
    first = place(ledger, "routed", due=1)
    assert [trial(ledger) for _ in range(3)] == [first, second, None]
    assert states(ledger, first, second) == ["queued", "queued"]
    assert column(ledger, first, "ready_at") == 77


def test_nobody_is_put_on_trial_whose_budget_is_paused(ledger: Ledger) -> None:
    place(ledger, "routed", budget="acme")
    free = place(ledger, "routed", budget="other")
    assert trial(ledger, PAUSED) == free
    assert trial(ledger, PAUSED) is None
