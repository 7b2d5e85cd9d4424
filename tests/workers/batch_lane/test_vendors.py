"""The lane at every vendor whose batches have a form of their own, with the real SDK.

The sandbox plays each and refuses what it would refuse.
"""

from collections import Counter

import pytest

from bench.batch_lane.bills import billed, booked
from tests.workers.batch_lane.test_lane import KILLS, NEVER, SLOW, Plants, prompts, sound
from tests.workers.batch_lane.test_lane import plant as plant  # noqa: PLC0414 - the fixture
from tierqueue.ledger.tables import batches, items

pytestmark = [pytest.mark.processes, pytest.mark.long]

VENDORS = {
    "azure": {"batch": 'model = "open-large-batch"'},
    "mistral": {},
    "together": {},
    "groq": {},
}
each = pytest.mark.parametrize("vendor", VENDORS)


@each
def test_items_with_time_go_in_one_batch_at_half_the_price(plant: Plants, vendor: str) -> None:
    one = plant(vendor=vendor, **VENDORS[vendor])
    ids = one.submit([*prompts(3), "Broken [[sandbox:garbage]]", "No [[sandbox:bad_request]]"])
    one.pass_time(lambda: one.over(ids))
    assert one.states() == {"succeeded": 3, "dead": 2}
    [batch] = one.rows(batches)
    assert (batch["counts"]["answered"], batch["counts"]["failed"]) == (3, 1)
    assert batch["counts"]["missing"] == 1
    assert [line["batch"] for line in one.logged()] == [True] * 5
    sound(one)


@each
@pytest.mark.parametrize(("terms", "steps"), KILLS)
def test_kills_between_any_two_steps_submit_nothing_twice(
    plant: Plants, vendor: str, terms: str, steps: frozenset[str]
) -> None:
    one = plant(terms, vendor=vendor, **VENDORS[vendor])
    ids = one.submit(prompts(4))
    one.to_kill = set(steps)
    one.pass_time(lambda: one.over(ids), step=1_200)
    assert one.kills == Counter(steps)
    assert one.states() == {"succeeded": 4}
    assert max(billed(one.logged()).values()) == 1
    assert billed(one.logged()) == booked(one.ledger)
    sound(one)


@each
def test_paid_output_of_a_cancelled_batch_is_settled_and_the_rest_goes_live(
    plant: Plants, vendor: str
) -> None:
    one = plant(NEVER, vendor=vendor, **VENDORS[vendor])
    ids = one.submit(prompts(12))
    one.pass_time(lambda: one.over(ids), step=1_200)
    assert one.states() == {"succeeded": 12}
    counts = one.rows(batches)[0]["counts"]
    assert counts["answered"] > 0
    assert counts["answered"] + counts["cancelled"] == 12
    assert all(row["ended_at"] <= row["deadline"] for row in one.rows(items))
    lanes = Counter(line["batch"] for line in one.logged())
    assert lanes == {True: counts["answered"], False: counts["cancelled"]}
    sound(one)


def test_a_batch_at_azure_that_does_not_fit_now_is_refused_at_once_and_tried_again(
    plant: Plants,
) -> None:
    one = plant(SLOW + "enqueued_tokens = 32\n", vendor="azure", **VENDORS["azure"])
    first = one.submit(prompts(1))
    one.route()
    one.advance(301)
    one.turn()
    second = one.submit(prompts(1, "x" * 100))
    one.pass_time(lambda: one.over([*first, *second]), step=120)
    assert one.states() == {"succeeded": 2}
    refused = [row for row in one.rows(batches) if row["error"]]
    assert {row["error"] for row in refused} == {"token_limit_exceeded"}
    assert all(line["batch"] for line in one.logged())
    sound(one)


def test_a_live_deployment_of_azure_takes_no_batch_and_its_items_go_live(plant: Plants) -> None:
    one = plant(vendor="azure")
    ids = one.submit(prompts(2))
    one.pass_time(lambda: one.over(ids))
    assert one.states() == {"succeeded": 2}
    assert one.rows(batches)[0]["error"] == "invalid_request"
    assert [line["batch"] for line in one.logged()] == [False, False]
    sound(one)


def test_a_job_of_mistrals_that_times_out_is_no_loss(plant: Plants) -> None:
    one = plant('median = "72h"\n', vendor="mistral")
    ids = one.submit(prompts(12), deadline=30 * 3_600_000_000)
    one.pass_time(lambda: one.over(ids), step=600, most=110_000)
    assert one.states() == {"succeeded": 12}
    [batch] = one.rows(batches)
    assert batch["remote_state"] == "timeout_exceeded"
    assert batch["counts"]["answered"] > 0
    assert batch["counts"]["expired"] == 12 - batch["counts"]["answered"]
    sound(one)
