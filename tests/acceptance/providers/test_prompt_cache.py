"""The prompt cache through real processes: one call pays for a prefix, the others read it."""

import pytest

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.waiting import until
from tierqueue.tasks import ask

pytestmark = pytest.mark.processes

HANDBOOK = "A card that is lost is blocked at once. " * 600
"""More than is marked for the cache."""


@pytest.fixture(scope="module")
def running(build_system: Build) -> RunningSystem:
    line = "python -m sandbox --port ${SANDBOX_PORT} --log ${SANDBOX_LOG} --latency-ms 500"
    lines = {"sandbox": line}
    return build_system(lines=lines, processes=("sandbox", "routing", "frontier"))


def test_of_many_items_that_share_a_prefix_one_pays_for_it(running: RunningSystem) -> None:
    ids = [ask.delay(HANDBOOK, f"Question {n}?", floor="frontier").id for n in range(12)]
    until(lambda: all(running.item(key).ended_at is not None for key in ids))
    # Whether what a simulation answers is accepted is of no account here.
    served = [line for line in running.served() if line["item"] in ids]
    assert [line["status"] for line in served] == [200] * len(ids)
    wrote = [line for line in served if line["cache_write_tokens"]]
    read = [line for line in served if line["cached_tokens"]]
    # Eight at once would have written it eight times.
    assert (len(wrote), len(read)) == (1, 11)
