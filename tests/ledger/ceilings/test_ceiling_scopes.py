"""Every scope and window: what is exhausted stops what it covers, and nothing beside it."""

from typing import Any

import pytest

from tests.ledger.road import SECOND, Road, ceiling, settlement
from tierqueue.ledger.lifecycle.claims import Claimant, Claims
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.session import now as database_now

HOUSE = Claimant(
    worker="w", tier="gpu", deployment="small", provider="house", metered=False, lease=10 * SECOND
)
ACME = Claimant(
    worker="w", tier="frontier", deployment="best", provider="acme", metered=True, lease=10**7
)
OTHER = Claimant(
    worker="w", tier="frontier", deployment="other", provider="umbrella", metered=True, lease=10**7
)
OPEN = Claimant(
    worker="w", tier="open_weight", deployment="open", provider="acme", metered=True, lease=10**7
)
EVERYBODY = (HOUSE, ACME, OTHER, OPEN)


def goes(road: Road, by: Claimant, *, now: int | None = None, **stated: Any) -> Claims:
    """What becomes of one more item for this deployment, at most 100 nano-dollars."""
    road.submit(**stated)
    road.route(tier=by.tier, deployment=by.deployment, bound=100)
    return road.claim(road.queue(by.tier), by=by, now=now)


def spends(road: Road, by: Claimant, **stated: Any) -> None:
    """One item for this deployment costs all that was held for it."""
    [claim] = goes(road, by, **stated).claimed
    road.settle(settlement(claim, cost=100))


@pytest.mark.parametrize(
    ("scope", "name", "stopped"),
    [
        ("tier", "frontier", {"best", "other"}),
        ("tier", "gpu", {"small"}),
        ("provider", "acme", {"best", "open"}),
        ("provider", "house", {"small"}),
        ("deployment", "best", {"best"}),
        ("everything", "*", {"small", "best", "other", "open"}),
    ],
)
def test_what_is_exhausted_stops_what_costs_against_it_and_nothing_else(
    road: Road, scope: str, name: str, stopped: set[str]
) -> None:
    road.ceilings(ceiling(scope, 100, name=name, window="day"))
    spends(road, next(spender for spender in EVERYBODY if spender.deployment in stopped))
    for by in EVERYBODY:
        result = goes(road, by)
        assert [len(result.claimed), len(result.ends.ended)] == (
            [0, 1] if by.deployment in stopped else [1, 0]
        ), by.deployment


def test_an_exhausted_provider_spends_nothing_of_anothers_ceiling(road: Road) -> None:
    road.ceilings(ceiling("provider", 100, name="acme"), ceiling("tier", 1_000, name="frontier"))
    spends(road, ACME)
    assert len(goes(road, ACME).ends.ended) == 1
    spends(road, OTHER)
    assert road.books() == {
        "provider:acme:total:all": (0, 100, 100),
        "tier:frontier:total:all": (0, 200, 200),
    }


def test_a_ceiling_over_each_tier_is_one_for_each(road: Road) -> None:
    road.ceilings(ceiling("tier", 100))
    for by in (HOUSE, ACME, OPEN):
        spends(road, by)
    assert [len(goes(road, by).ends.ended) for by in (HOUSE, OTHER, OPEN)] == [1, 1, 1]


def test_a_jobs_ceiling_stops_its_own_items_alone(road: Road) -> None:
    with road.ledger.write() as connection:
        job, free = (
            jobs.create(
                connection,
                task="tierqueue.classify",
                source="work.csv",
                max_cost=max_cost,
                now=database_now(connection),
            )
            for max_cost in (100, None)
        )
    spends(road, HOUSE, job_id=job, job_index=0)
    [ending] = goes(road, HOUSE, job_id=job, job_index=1).ends.ended
    assert ending.error is not None
    assert ending.error["fields"]["ceiling"] == f"job:{job}:total:all"
    assert len(goes(road, HOUSE, job_id=free, job_index=0).claimed) == 1
    assert len(goes(road, HOUSE).claimed) == 1


@pytest.mark.parametrize(
    ("window", "seconds"),
    [("hour", 3_600), ("day", 86_400), ("week", 604_800), ("month", 2_764_800)],
)
def test_a_window_that_is_over_leaves_the_next_one_whole(
    road: Road, window: str, seconds: int
) -> None:
    road.ceilings(ceiling("everything", 100, window=window))
    spends(road, ACME)
    assert goes(road, ACME).claimed == []
    later = road.now() + seconds * SECOND
    # Not past its deadline then.
    road.submit(deadline=later + 3_600 * SECOND)
    road.route(tier="frontier", deployment="best", bound=100)
    assert len(road.claim(road.queue("frontier"), by=ACME, now=later).claimed) == 1
