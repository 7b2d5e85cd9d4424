"""Every scope and window: what is exhausted stops what it covers, and nothing beside it."""

from typing import Any

import pytest

from tests.ledger.moves import SECOND, Moves, ceiling, settlement
from tierqueue.ledger.lifecycle.claims import Claimant, Claims
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.session import now as database_now

HOUSE = Claimant(
    worker="w",
    tier="gpu",
    deployment="small",
    provider="house",
    metered=False,
    lease_us=10 * SECOND,
)
ACME = Claimant(
    worker="w", tier="frontier", deployment="best", provider="acme", metered=True, lease_us=10**7
)
OTHER = Claimant(
    worker="w",
    tier="frontier",
    deployment="other",
    provider="umbrella",
    metered=True,
    lease_us=10**7,
)
OPEN = Claimant(
    worker="w", tier="open_weight", deployment="open", provider="acme", metered=True, lease_us=10**7
)
EVERYBODY = (HOUSE, ACME, OTHER, OPEN)


def goes(moves: Moves, by: Claimant, *, now: int | None = None, **stated: Any) -> Claims:
    """What becomes of one more item for this deployment, at most 100 nano-dollars."""
    moves.submit(**stated)
    moves.route(tier=by.tier, deployment=by.deployment, bound=100)
    return moves.claim(moves.queue(by.tier), by=by, now=now)


def spends(moves: Moves, by: Claimant, **stated: Any) -> None:
    """One item for this deployment costs all that was held for it."""
    [claim] = goes(moves, by, **stated).claimed
    moves.settle(settlement(claim, cost=100))


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
    moves: Moves, scope: str, name: str, stopped: set[str]
) -> None:
    moves.ceilings(ceiling(scope, 100, name=name, window="day"))
    spends(moves, next(spender for spender in EVERYBODY if spender.deployment in stopped))
    for by in EVERYBODY:
        result = goes(moves, by)
        assert [len(result.claimed), len(result.ends.ended)] == (
            [0, 1] if by.deployment in stopped else [1, 0]
        ), by.deployment


def test_an_exhausted_provider_spends_nothing_of_anothers_ceiling(moves: Moves) -> None:
    moves.ceilings(ceiling("provider", 100, name="acme"), ceiling("tier", 1_000, name="frontier"))
    spends(moves, ACME)
    assert len(goes(moves, ACME).ends.ended) == 1
    spends(moves, OTHER)
    assert moves.books() == {
        "provider:acme:total:all": (0, 100, 100),
        "tier:frontier:total:all": (0, 200, 200),
    }


def test_a_ceiling_over_each_tier_is_one_for_each(moves: Moves) -> None:
    moves.ceilings(ceiling("tier", 100))
    for by in (HOUSE, ACME, OPEN):
        spends(moves, by)
    assert [len(goes(moves, by).ends.ended) for by in (HOUSE, OTHER, OPEN)] == [1, 1, 1]


def test_a_jobs_ceiling_stops_its_own_items_alone(moves: Moves) -> None:
    with moves.ledger.write() as connection:
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
    spends(moves, HOUSE, job_id=job, job_index=0)
    [ending] = goes(moves, HOUSE, job_id=job, job_index=1).ends.ended
    assert ending.error is not None
    assert ending.error["fields"]["ceiling"] == f"job:{job}:total:all"
    assert len(goes(moves, HOUSE, job_id=free, job_index=0).claimed) == 1
    assert len(goes(moves, HOUSE).claimed) == 1


@pytest.mark.parametrize(
    ("window", "seconds"),
    [("hour", 3_600), ("day", 86_400), ("week", 604_800), ("month", 2_764_800)],
)
def test_a_window_that_is_over_leaves_the_next_one_whole(
    moves: Moves, window: str, seconds: int
) -> None:
    moves.ceilings(ceiling("everything", 100, window=window))
    spends(moves, ACME)
    assert goes(moves, ACME).claimed == []
    later = moves.now() + seconds * SECOND
    # Not past its deadline then.
    moves.submit(deadline=later + 3_600 * SECOND)
    moves.route(tier="frontier", deployment="best", bound=100)
    assert len(moves.claim(moves.queue("frontier"), by=ACME, now=later).claimed) == 1
