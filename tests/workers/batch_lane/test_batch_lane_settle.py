"""What the files of a batch lack is waited for as long as it may come, and no longer.

With the real SDK against the sandbox, on a clock that the test sets.
"""

from collections import Counter

import pytest

from bench.batch_lane.bills import billed
from tests.workers.batch_lane.test_lane import NEVER, Plants, prompts, sound
from tests.workers.batch_lane.test_lane import plant as plant  # noqa: PLC0414 - the fixture
from tierqueue.ledger.tables import attempts, batches
from tierqueue.workers.engines.batches import BatchOutput, RemoteBatch
from tierqueue.workers.engines.file_batches import FileBatches

pytestmark = pytest.mark.processes


def test_a_file_that_is_cut_short_is_read_again_before_anything_of_it_is_booked(
    plant: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = plant()
    ids = one.submit(prompts(4))
    whole, looks = FileBatches.lines, [0]

    async def cut(self: FileBatches, remote: RemoteBatch) -> BatchOutput:
        looks[0] += 1
        found = await whole(self, remote)
        return found if looks[0] > 2 else BatchOutput(found.lines[:1], 1, found.simulated)

    monkeypatch.setattr(FileBatches, "lines", cut)
    one.pass_time(lambda: one.over(ids))
    assert looks[0] == 3
    assert one.states() == {"succeeded": 4}
    assert one.rows(batches)[0]["counts"]["answered"] == 4
    sound(one)


def test_a_file_that_is_late_behind_a_cancelled_batch_is_waited_for(
    plant: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = plant(NEVER)
    ids = one.submit(prompts(12))
    whole, looks = FileBatches.lines, [0]

    async def late(self: FileBatches, remote: RemoteBatch) -> BatchOutput:
        looks[0] += 1
        return await whole(self, remote) if looks[0] > 2 else BatchOutput([], 0, simulated=True)

    monkeypatch.setattr(FileBatches, "lines", late)
    one.pass_time(lambda: one.over(ids), step=300)
    assert one.states() == {"succeeded": 12}
    assert one.rows(batches)[0]["counts"]["answered"] > 0
    assert {row["outcome"] for row in one.rows(attempts)} == {"accepted", "interrupted"}
    assert max(billed(one.logged()).values()) == 1
    sound(one)


def test_a_batch_that_is_never_over_is_given_up_and_leaves_its_tokens_to_others(
    plant: Plants,
) -> None:
    one = plant('median = "9000h"\ncancelling = "9000h"\n')
    ids = one.submit(prompts(2))
    one.pass_time(lambda: one.over(ids), step=3_600, most=300_000)
    [batch] = one.rows(batches)
    assert (batch["remote_state"], batch["counts"]["missing"]) == ("lost", 2)
    assert one.states() == {"succeeded": 2}
    outcomes = Counter(row["outcome"] for row in one.rows(attempts))
    assert outcomes == {"unknown": 2, "accepted": 2}
    sound(one)
