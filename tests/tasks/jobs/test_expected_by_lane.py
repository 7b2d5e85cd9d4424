"""What calls cost by one lane says what they cost by another, as far as prices differ."""

import pytest

from tests.router.specs import FRONTIER, a_spec, policy_text
from tierqueue.ledger.accounting.spending import CallHistory, Costs
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.lanes import Lane
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.route import Route
from tierqueue.tasks.jobs.expectation import repriced

NOW = 1_800_000_000_000_000
BATCH = '[deployments.far.batch]\nprices = { input = "1", output = "2" }\n'
SPECS = [a_spec("far", FRONTIER, boundary="vendor:a", price=("2", "4"))]
HALF, NO_BATCH = (parse_policy(policy_text(SPECS) + more, "test") for more in (BATCH, ""))


def past(**costs: int) -> CallHistory:
    """Ten items, each with the same share of what each lane cost."""
    lanes = {Lane(name): Costs(cost, cost * cost / 10) for name, cost in costs.items()}
    return CallHistory(
        items=10,
        accepted=10,
        rejected=0,
        cost=sum(costs.values()),
        squares=sum(one.squares for one in lanes.values()),
        seconds=1.0,
        tokens=100.0,
        lanes=lanes,
    )


def by(lane: Lane) -> Route:
    bound = 400_000 if lane is Lane.LIVE else 200_000
    return Route(FRONTIER, "far", NanoUSD(bound), 100, 50, (), (), lane=lane)


@pytest.mark.parametrize(
    ("lane", "costs", "expected"),
    [
        (Lane.BATCH, {"live": 1_000}, 500),
        (Lane.BATCH, {"live": 1_000, "batch": 700}, 1_200),
        (Lane.LIVE, {"live": 1_000, "batch": 700}, 2_400),
        (Lane.LIVE, {"live": 1_000}, 1_000),
        (Lane.BATCH, {"batch": 700}, 700),
    ],
)
def test_what_went_by_another_lane_counts_at_the_price_of_this_one(
    lane: Lane, costs: dict[str, int], expected: int
) -> None:
    known = repriced([by(lane)], {"far": past(**costs)}, HALF, NOW)
    assert (known["far"].items, known["far"].cost) == (10, expected)


def test_the_spread_goes_with_the_price() -> None:
    known = repriced([by(Lane.BATCH)], {"far": past(live=1_000)}, HALF, NOW)
    assert known["far"].squares == pytest.approx(past(live=1_000).squares / 4)


def test_a_lane_that_the_policy_prices_no_more_counts_as_it_was_paid() -> None:
    known = repriced([by(Lane.LIVE)], {"far": past(live=1_000, batch=700)}, NO_BATCH, NOW)
    assert known["far"].cost == 1_700


def test_of_what_has_no_past_nothing_is_said() -> None:
    assert repriced([by(Lane.LIVE)], {}, HALF, NOW) == {}
