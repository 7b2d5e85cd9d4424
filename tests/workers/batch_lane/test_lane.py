"""The lane, with the real SDK against the sandbox, on a clock that the test sets."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.batch_lane.bills import billed, booked
from bench.batch_lane.plant import SECOND, STEPS, Plant
from tierqueue.ledger.accounting import audit
from tierqueue.ledger.lifecycle import items as work
from tierqueue.ledger.tables import attempts, batches, items
from tierqueue.workers.batch_lane.results import BUCKETS
from tierqueue.workers.engines.anthropic_batches import TRANSFER_SECONDS, AnthropicBatches
from tierqueue.workers.engines.batches import RemoteBatch
from tierqueue.workers.engines.file_batches import FileBatches

pytestmark = pytest.mark.processes

SLOW = 'median = "10m"\ncancelling = "1m"\n'
NEVER = 'median = "72h"\ncancelling = "1m"\n'
CANCELLED = frozenset({"batch_cancelled"})
KILLS = [
    pytest.param(SLOW, frozenset(STEPS) - CANCELLED, id="answered"),
    pytest.param(NEVER, CANCELLED, id="cancelled"),
]
"""How batches go, and the steps after each of which one look of their lane is killed."""


class Plants:
    """Makes plants over one fresh ledger."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self.made: list[Plant] = []

    def __call__(self, terms: str = "", **stated: str) -> Plant:
        self.made.append(Plant(self._folder, self._url, terms=terms, **stated))
        return self.made[-1]

    def close(self) -> None:
        for made in self.made:
            made.__exit__(None, None, None)


@pytest.fixture
def plant(tmp_path: Path, sqlite_url: str) -> Iterator[Plants]:
    """``plant(terms, …)`` is a ledger, a sandbox and a lane."""
    # The ledger's own tests have each move of a batch on both databases.
    plants = Plants(tmp_path, sqlite_url)
    yield plants
    plants.close()


@pytest.fixture
def plant_on_each(tmp_path: Path, ledger_url: str) -> Iterator[Plants]:
    """The same, once on each database."""
    plants = Plants(tmp_path, ledger_url)
    yield plants
    plants.close()


def prompts(count: int, more: str = "") -> list[str]:
    return [f"Say number {n}. {more}" for n in range(count)]


def sound(plant: Plant) -> None:
    """Nothing is held any more, the books balance, and each bill of the sandbox's is booked."""
    with plant.ledger.read() as connection:
        assert audit.audit(connection) == []
    assert all(row["held"] == 0 for row in plant.rows(items))
    assert all(row["ended_at"] is not None for row in plant.rows(attempts))
    charged = sum(row["cost"] for row in plant.rows(attempts))
    unknown = [row for row in plant.rows(attempts) if row["outcome"] == "unknown"]
    cost = sum(line["cost_nanousd"] for line in plant.logged())
    assert charged == cost or (unknown and charged > cost)
    for batch in plant.rows(batches):
        assert set(batch["counts"]) == set(BUCKETS)
        assert sum(batch["counts"].values()) == batch["size"]


def test_what_has_time_goes_in_one_batch_at_half_the_price(plant_on_each: Plants) -> None:
    one = plant_on_each()
    ids = one.submit(prompts(5))
    one.pass_time(lambda: one.over(ids))
    assert one.states() == {"succeeded": 5}
    [batch] = one.rows(batches)
    assert (batch["size"], batch["counts"]["answered"]) == (5, 5)
    assert [line["batch"] for line in one.logged()] == [True] * 5
    row = one.rows(items)[0]
    assert row["receipt"]["batch"] == batch["id"]
    assert row["receipt"]["simulated"]
    assert any("in a batch" in reason for reason in row["route"]["reasons"])
    sound(one)


def test_message_batches_are_settled_by_their_results_at_half_the_price(plant: Plants) -> None:
    one = plant(engine="anthropic")
    ids = one.submit([*prompts(3), "Broken [[sandbox:garbage]]", "No [[sandbox:bad_request]]"])
    one.pass_time(lambda: one.over(ids))
    assert one.states() == {"succeeded": 3, "dead": 2}
    counts = one.rows(batches)[0]["counts"]
    assert (counts["answered"], counts["failed"], counts["missing"]) == (3, 1, 1)
    assert [line["batch"] for line in one.logged()] == [True] * 5
    sound(one)


@pytest.mark.parametrize("step", ["batch_to_be_created", "batch_created", "batch_cancelled"])
def test_a_message_batch_is_found_again_by_what_it_holds(plant: Plants, step: str) -> None:
    one = plant(NEVER if step == "batch_cancelled" else SLOW, engine="anthropic")
    ids = one.submit(prompts(4))
    one.to_kill = {step}
    one.pass_time(lambda: one.over(ids), step=1_200)
    assert one.kills == {step: 1}
    assert one.states() == {"succeeded": 4}
    assert max(billed(one.logged()).values()) == 1
    assert billed(one.logged()) == booked(one.ledger)
    sound(one)


def test_what_takes_as_long_to_be_made_as_it_may_is_looked_for_before_it_is_made_again(
    plant: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = plant(SLOW, engine="anthropic")
    ids = one.submit(prompts(2))
    whole, made = AnthropicBatches.create, []

    async def slow(self: AnthropicBatches, *asked: Any) -> RemoteBatch:
        made.append(one.now)
        if len(made) == 1:
            one.advance(TRANSFER_SECONDS)
            raise TimeoutError
        return await whole(self, *asked)

    monkeypatch.setattr(AnthropicBatches, "create", slow)
    one.pass_time(lambda: one.over(ids))
    first, second = made
    assert second - first >= (TRANSFER_SECONDS + 120) * SECOND
    assert one.states() == {"succeeded": 2}
    sound(one)


def test_an_id_that_its_producer_chose_finds_its_line(plant: Plants) -> None:
    one = plant(engine="anthropic")
    [key] = one.submit(prompts(1))
    with one.ledger.write() as connection:
        connection.execute(items.update().where(items.c.id == key).values(id="an id: é"))
    one.pass_time(lambda: one.over(["an id: é"]))
    assert one.states() == {"succeeded": 1}
    assert [line["batch"] for line in one.logged()] == [True]


def test_its_whole_bound_is_held_and_no_worker_waits(plant: Plants) -> None:
    one = plant(SLOW, more='[[ceilings]]\nscope = "everything"\nlimit = "1"\n')
    one.submit(prompts(3))
    one.route()
    one.advance(301)
    one.tick()
    assert one.states() == {"handed_over": 3}
    held = [row["held"] for row in one.rows(items)]
    assert all(held)
    assert one.rows(batches)[0]["held"] == sum(held)
    assert {row["lease_until"] for row in one.rows(items)} == {None}


def test_what_a_ceiling_has_no_headroom_for_waits_and_the_others_go(plant: Plants) -> None:
    one = plant(SLOW, more='[[ceilings]]\nscope = "everything"\nlimit = "0.0003"\n')
    one.submit(prompts(3))
    one.route()
    one.advance(301)
    one.tick()
    found = Counter((row["state"], row["reason"]) for row in one.rows(items))
    fit = 300_000 // one.rows(items)[0]["bound"]
    assert 1 <= fit < 3
    assert found == {("handed_over", None): fit, ("waiting", "ceiling"): 3 - fit}


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_between_any_two_steps_pays_for_nothing_twice(plant: Plants, step: str) -> None:
    one = plant(NEVER if step == "batch_cancelled" else SLOW)
    ids = one.submit(prompts(4))
    one.to_kill = {step}
    one.pass_time(lambda: one.over(ids), step=1_200)
    assert one.kills == {step: 1}
    assert one.states() == {"succeeded": 4}
    assert max(billed(one.logged()).values()) == 1
    assert billed(one.logged()) == booked(one.ledger)
    sound(one)


def test_paid_output_of_a_cancelled_batch_is_settled_and_the_rest_goes_live_in_time(
    plant_on_each: Plants,
) -> None:
    one = plant_on_each(NEVER)
    ids = one.submit(prompts(12))
    one.pass_time(lambda: one.over(ids), step=1_200)
    assert one.states() == {"succeeded": 12}
    counts = one.rows(batches)[0]["counts"]
    assert counts["answered"] > 0
    assert counts["cancelled"] > 0
    assert counts["answered"] + counts["cancelled"] == 12
    assert all(row["ended_at"] <= row["deadline"] for row in one.rows(items))
    lanes = Counter(line["batch"] for line in one.logged())
    assert lanes == {True: counts["answered"], False: counts["cancelled"]}
    sound(one)


def test_a_malformed_line_costs_one_item_and_a_refused_one_speaks_for_itself(
    plant: Plants,
) -> None:
    one = plant()
    good = one.submit(prompts(3))
    one.submit(["Broken [[sandbox:garbage]]"])
    one.submit(["Missing [[sandbox:charged_lost]]"])
    one.submit(["Refused [[sandbox:bad_request]]"])
    one.pass_time(lambda: one.over([row["id"] for row in one.rows(items)]))
    counts = one.rows(batches)[0]["counts"]
    assert (counts["answered"], counts["failed"], counts["missing"]) == (3, 1, 2)
    ended = {row["id"]: (row["state"], row["reason"]) for row in one.rows(items)}
    assert {ended[key] for key in good} == {("succeeded", None)}
    others = Counter(ended[key] for key in ended.keys() - set(good))
    assert others == {("dead", "unknown"): 2, ("dead", "refused"): 1}
    sound(one)


def test_a_batch_is_split_to_the_limits_of_requests_bytes_and_tokens(plant: Plants) -> None:
    one = plant(SLOW, batch="requests = 3\nbytes = 900\nenqueued_tokens = 100000")
    one.submit(prompts(7))
    one.route()
    one.advance(301)
    one.tick()
    sizes = sorted(row["size"] for row in one.rows(batches))
    assert sum(sizes) == 7
    assert max(sizes) <= 3
    # Seven requests of some 230 bytes each.
    assert len(sizes) >= 3


def test_tokens_that_are_enqueued_wait_for_others_to_be_over(plant: Plants) -> None:
    one = plant(SLOW, batch="enqueued_tokens = 600")
    ids = one.submit(prompts(4))
    one.route()
    one.advance(301)
    one.tick()
    found = one.states()
    assert found["handed_over"] < 4
    assert found["waiting"] == 4 - found["handed_over"]
    one.pass_time(lambda: one.over(ids), step=120)
    assert one.states() == {"succeeded": 4}
    assert len(one.rows(batches)) > 1
    sound(one)


def test_a_batch_that_the_provider_refuses_for_its_limits_is_tried_again(plant: Plants) -> None:
    one = plant(SLOW + "enqueued_tokens = 32\n")
    first = one.submit(prompts(1))
    one.route()
    one.advance(301)
    one.turn()
    second = one.submit(prompts(1, "x" * 100))
    one.pass_time(lambda: one.over([*first, *second]), step=120)
    assert one.states() == {"succeeded": 2}
    refused = [row for row in one.rows(batches) if row["error"]]
    assert {row["error"] for row in refused} == {"token_limit_exceeded"}
    sound(one)


def test_an_interactive_item_and_one_whose_deadline_is_near_go_live(plant: Plants) -> None:
    one = plant()
    one.submit(prompts(1), latency="interactive")
    one.submit(prompts(1), deadline=3_600 * SECOND)
    one.turn()
    assert one.states() == {"succeeded": 2}
    assert [line["batch"] for line in one.logged()] == [False, False]
    reasons = {row["route"]["reasons"][-1] for row in one.rows(items)}
    assert any("somebody waits" in reason for reason in reasons)
    assert any("1 h 0 min are left" in reason for reason in reasons)


def test_what_somebody_cancels_ends_when_its_batch_does_and_is_paid_where_it_was_done(
    plant: Plants,
) -> None:
    one = plant(SLOW)
    ids = one.submit(prompts(6))
    one.route()
    one.advance(301)
    one.tick()
    with one.ledger.write() as connection:
        assert work.cancel(connection, ids, "me").ended == []
    one.pass_time(lambda: one.over(ids))
    found = one.states()
    assert found["cancelled"] > 0
    assert found["cancelled"] + found["succeeded"] == 6
    assert one.rows(batches)[0]["cancelled_at"] is not None
    sound(one)


def test_an_item_whose_provider_never_confirms_is_promoted_booked_and_corrected(
    plant_on_each: Plants,
) -> None:
    one = plant_on_each('median = "72h"\ncancelling = "9h"\n')
    ids = one.submit(prompts(6))
    one.pass_time(lambda: one.states()["succeeded"] == 6, step=1_000)
    assert all(row["ended_at"] <= row["deadline"] for row in one.rows(items))
    booked_twice = [row for row in one.rows(attempts) if row["outcome"] == "unknown"]
    assert len(booked_twice) == 6
    one.pass_time(lambda: one.over(ids), step=1800)
    outcomes = Counter(row["outcome"] for row in one.rows(attempts))
    assert outcomes == {"accepted": 6, "late": 6}
    assert one.rows(batches)[0]["counts"]["answered"] > 0
    sound(one)


def test_a_batch_that_was_collected_under_another_policy_is_routed_anew(plant: Plants) -> None:
    from tierqueue.ledger.in_force import policies
    from tierqueue.ledger.lifecycle import batches as lane

    one = plant()
    one.submit(prompts(2))
    one.route()
    assert one.states() == {"waiting": 2}
    with one.ledger.write() as connection:
        policies.start(connection, "another", one.now)
        lane.route_anew(connection)
    assert one.states() == {"submitted": 2}


def test_two_workers_do_not_look_after_the_same_batch(plant_on_each: Plants) -> None:
    one = plant_on_each(SLOW)
    ids = one.submit(prompts(2))
    one.route()
    one.advance(301)
    one.tick()
    other: Any = one._new_lane()
    one.advance(120)
    other.tick()
    assert one.rows(batches)[0]["state"] == "sent"
    assert one.rows(batches)[0]["worker"] == one.lane._worker
    one.pass_time(lambda: one.over(ids))
    assert one.states() == {"succeeded": 2}


def test_a_batch_that_was_made_without_a_word_on_which_it_is_is_found_and_not_made_again(
    plant: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = plant(SLOW)
    ids = one.submit(prompts(3))
    made: list[Any] = []

    def unnamed(_: FileBatches, told: Any) -> Any:
        made.append(told["id"])
        return {}

    monkeypatch.setattr(FileBatches, "_created", unnamed)
    one.pass_time(lambda: one.over(ids))
    assert made == ["batch_sandbox_1"]
    assert one.states() == {"succeeded": 3}
    assert max(billed(one.logged()).values()) == 1
    sound(one)


def test_a_batch_that_was_made_and_is_nowhere_is_never_made_again(
    plant: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = plant(SLOW)
    ids = one.submit(prompts(2))
    made: list[Any] = []

    def unnamed(_: FileBatches, told: Any) -> Any:
        made.append(told["id"])
        return {}

    async def nowhere(*_: Any) -> None:
        return None

    monkeypatch.setattr(FileBatches, "_created", unnamed)
    monkeypatch.setattr(FileBatches, "find", nowhere)
    one.pass_time(lambda: one.over(ids), step=1_800, most=300_000)
    assert len(made) == 1
    assert one.states() == {"succeeded": 2}
    assert all(row["ended_at"] <= row["deadline"] for row in one.rows(items))
    outcomes = Counter(row["outcome"] for row in one.rows(attempts))
    assert outcomes == {"unknown": 2, "accepted": 2}
    assert one.rows(batches)[0]["remote_state"] == "lost"
