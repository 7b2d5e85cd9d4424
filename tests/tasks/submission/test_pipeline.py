"""One ceiling, one deadline and the same demands for all steps of one piece of work."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.tasks.producer import Producer
from tierqueue.ledger.operations import ceiling_changes
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import complete, pipeline


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], ledger_url: str) -> Producer:
    return producer_to(ledger_url)


def limit(producer: Producer, name: str) -> Any:
    with producer.ledger.write() as connection:
        found = ceiling_changes.in_force(connection, "budget", name, "total")
    return None if found is None else (found.name, found.limit)


def test_all_steps_share_a_ceiling_a_moment_and_their_demands(producer: Producer) -> None:
    shared = pipeline("letter-17", max_cost="0.05usd", deadline="1h", sensitivity="confidential")
    first, second = complete.delay("one", **shared), complete.delay("two", **shared)
    rows = [producer.item(result.id) for result in (first, second)]
    assert limit(producer, "letter-17") == ("letter-17", 50_000_000)
    assert {row.budget for row in rows} == {"letter-17"}
    assert {row.sensitivity for row in rows} == {"confidential"}
    assert {row.max_cost for row in rows} == {None}
    assert len({row.deadline for row in rows}) == 1


def test_called_again_it_sets_the_same_ceiling_once(producer: Producer) -> None:
    for _ in range(2):
        pipeline("letter-17", max_cost="0.05usd", deadline="1h")
    pipeline("letter-18", max_cost="0.01usd", deadline="1h")
    pipeline("letter-17", max_cost="0.10usd", deadline="1h")
    with producer.ledger.read() as connection:
        changes = ceiling_changes.history(connection, "budget", "letter-17", 9)
    assert [change.after for change in changes] == [100_000_000, 50_000_000]
    assert {change.by for change in changes} == {"pipeline"}


@pytest.mark.parametrize(
    ("demands", "complaint"),
    [
        ({"deadline": "1h"}, "state max_cost and deadline"),
        ({"max_cost": "1usd"}, "state max_cost and deadline"),
        ({"max_cost": "1usd", "deadline": "1h", "budget": "legal"}, "state no other"),
        ({"max_cost": "much", "deadline": "1h"}, "max_cost"),
        ({"max_cost": "1usd", "deadline": "1h", "risc": "internal"}, "risc"),
    ],
)
def test_what_it_cannot_share_is_refused_and_no_ceiling_set(
    producer: Producer, demands: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidItem, match=complaint):
        pipeline("letter-17", **demands)
    assert limit(producer, "letter-17") is None
