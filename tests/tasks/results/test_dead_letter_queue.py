"""Dead letters at the broker: each stands on its tier's queue once, and nobody waits for that."""

import json
from collections.abc import Sequence

import pytest

from tests.tasks.producer import Producer
from tierqueue.ledger.results.announcements import Announcement
from tierqueue.router.item import Tier
from tierqueue.tasks.results import dead_letter_queue
from tierqueue.tasks.results.dead_letter_queue import announce

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def letter(item_id: str, tier: Tier | None = Tier.GPU, ended_at: int = 1) -> Announcement:
    return Announcement(item_id, tier, "exhausted", ended_at)


def entries_of(producer: Producer, queue: str) -> list[str]:
    """The ids on a queue, the oldest first."""
    found = producer.app.backend.client.lrange(queue, 0, -1)
    return [json.loads(entry)["headers"]["kwargsrepr"] for entry in reversed(found)]


def told_of(entries: Sequence[str]) -> list[str]:
    return [entry.split("'item': '")[1].split("'")[0] for entry in entries]


def test_a_letter_stands_on_the_queue_of_its_tier_with_its_reason(producer: Producer) -> None:
    letters = [letter("a"), letter("b", Tier.FRONTIER), letter("c", None)]
    assert sorted(announce(producer.app, letters)) == ["a", "b", "c"]
    for queue, item in (("dead.gpu", "a"), ("dead.frontier", "b"), ("dead.route", "c")):
        entries = entries_of(producer, queue)
        assert told_of(entries) == [item]
        assert "'reason': 'exhausted'" in entries[0]


def test_one_end_is_announced_once_and_the_next_end_again(producer: Producer) -> None:
    for ended_at in (1, 1, 2):
        assert announce(producer.app, [letter("again", ended_at=ended_at)]) == ["again"]
    assert told_of(entries_of(producer, "dead.gpu")) == ["again", "again"]


def test_no_more_stand_there_than_are_kept_and_the_oldest_fall_off(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_queue, "MAX_ANNOUNCED", 2)
    for item in ("x", "y", "z"):
        announce(producer.app, [letter(item)])
    assert told_of(entries_of(producer, "dead.gpu")) == ["y", "z"]


def test_what_the_broker_does_not_take_stays_owed(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ConnectionError("away")

    with monkeypatch.context() as patched:
        patched.setattr(dead_letter_queue, "_send", away)
        assert announce(producer.app, [letter("owed")]) == []
    assert announce(producer.app, [letter("owed")]) == ["owed"]
