"""Two providers at once, in batches and live, and kills at every step: each keeps to its own."""

from collections import Counter

import pytest

from bench.batch_lane.bills import billed, booked
from bench.batch_lane.plant import LIVE_STEPS, SECOND, STEPS, Plant
from tests.workers.batch_lane.test_lane import KILLS, SLOW, Plants, prompts, sound
from tests.workers.batch_lane.test_lane import plant as plant  # noqa: PLC0414 - the fixture
from tests.workers.batch_lane.test_lane import (
    plant_on_each as plant_on_each,  # noqa: PLC0414 - the fixture
)
from tierqueue.ledger.tables import attempts, batches, items

pytestmark = [pytest.mark.processes, pytest.mark.long]

BOTH = {"batched", "second"}


def both(plant: Plant, count: int, deadline: int) -> list[str]:
    """Items of which each provider has as many."""
    lower = plant.submit(prompts(count), deadline=deadline)
    return lower + plant.submit(prompts(count), deadline=deadline, floor="frontier")


def each_keeps_to_its_own(plant: Plant) -> None:
    """Every bill is of the provider whose attempt has it booked, and none is booked nowhere."""
    bills, known = billed(plant.logged()), booked(plant.ledger)
    assert all(count <= known[item] for item, count in bills.items())
    models = {"open-large": "batched", "frontier-large": "second"}
    paid = {(line["item"][:36], models[line["model"]]) for line in plant.logged()}
    made = {(row["item_id"], row["deployment"]) for row in plant.rows(attempts)}
    assert paid <= made


@pytest.mark.parametrize(("terms", "steps"), KILLS)
def test_kills_while_both_have_batches_submit_nothing_twice_at_either(
    plant: Plants, terms: str, steps: frozenset[str]
) -> None:
    one = plant(terms, second="anthropic")
    ids = both(one, 3, 24 * 3_600 * SECOND)
    one.to_kill = set(steps)
    one.pass_time(lambda: one.over(ids), step=1_200)
    assert one.kills == Counter(steps)
    assert one.states() == {"succeeded": 6}
    assert {batch["deployment"] for batch in one.rows(batches)} == BOTH
    assert max(billed(one.logged()).values()) == 1
    each_keeps_to_its_own(one)
    sound(one)


def test_kills_at_every_step_of_both_lanes_of_two_providers_lose_nothing(
    plant_on_each: Plants,
) -> None:
    one = plant_on_each(SLOW, second="anthropic")
    ids = both(one, 6, 24 * 3_600 * SECOND) + both(one, 6, 3_600 * SECOND)
    steps = [step for step in STEPS if step != "batch_cancelled"]
    one.to_kill = {*steps, *LIVE_STEPS}
    one.pass_time(lambda: one.over(ids), step=120)
    assert one.kills == Counter([*steps, *LIVE_STEPS])
    # What was open live when its worker was killed may be paid: booked, and said aloud.
    ends = Counter((row["state"], row["reason"]) for row in one.rows(items))
    assert ends == {("succeeded", None): 12, ("dead", "unknown"): 12}
    batched = {row["item_id"] for row in one.rows(attempts) if row["batch"] is not None}
    assert {row["id"] for row in one.rows(items) if row["state"] == "succeeded"} == batched
    lanes = Counter((line["model"], line["batch"]) for line in one.logged())
    assert lanes.keys() >= {("open-large", True), ("frontier-large", True)}
    assert max(billed(one.logged()).values()) == 1
    each_keeps_to_its_own(one)
