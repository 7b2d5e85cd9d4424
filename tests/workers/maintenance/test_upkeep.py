"""The tick's slower half: what has had its time goes, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text, update

from tests.ledger.plans import plans_of, reads_of_every_item
from tests.tasks.producer import Producer
from tierqueue.ledger import tables
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.operations import raw_messages
from tierqueue.ledger.results import chords
from tierqueue.ledger.tables import items
from tierqueue.tasks import complete

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

DAY = 86_400_000_000


@pytest.fixture
def producer(
    producer_to: Callable[[str], Producer],
    ledger_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Producer:
    """A producer on each database; answers stay for 30 days and dead letters for 90."""
    path = tmp_path / "retention.toml"
    path.write_text('[retention]\nsucceeded = "30d"\ndead = "90d"\n')
    monkeypatch.setenv("TIERQUEUE_POLICY", str(path))
    return producer_to(ledger_url)


def _age(producer: Producer, item_id: str, days: int) -> None:
    older = items.c.ended_at - days * DAY
    with producer.ledger.write() as connection:
        connection.execute(update(items).where(items.c.id == item_id).values(ended_at=older))


def test_payloads_of_old_answers_and_dead_letters_go_each_after_its_own_time(
    producer: Producer,
) -> None:
    asked = [complete.delay(f"secret {n}") for n in range(4)]
    endings = [producer.answer(result.id, {"text": "x"}) for result in asked[:2]]
    endings += [producer.kill(result.id, "exhausted") for result in asked[2:]]
    producer.tell(*endings)
    for result, days in zip(asked, (31, 29, 91, 31), strict=True):
        _age(producer, result.id, days)
    producer.upkeep().round()
    gone = [producer.item(result.id).arguments is None for result in asked]
    assert gone == [True, False, True, False]
    old = producer.item(asked[0].id)
    assert (old.state, old.output, old.receipt is None) == ("succeeded", None, False)
    assert producer.item(asked[2].id).reason == "exhausted"


def test_messages_nobody_could_read_go_once_their_time_is_stated_and_over(
    producer: Producer, tmp_path: Path
) -> None:
    def keep() -> str:
        with producer.ledger.write() as connection:
            return raw_messages.store(connection, queue="route", body=b"x", headers={}, error="no")

    def kept() -> set[str]:
        with producer.ledger.read() as connection:
            return {row.id for row in raw_messages.newest(connection, 10)}

    old, new = keep(), keep()
    with producer.ledger.write() as connection:
        table = tables.raw_messages
        aged = update(table).where(table.c.id == old)
        connection.execute(aged.values(received_at=table.c.received_at - 8 * DAY))
    producer.upkeep().round()
    assert kept() == {old, new}
    (tmp_path / "retention.toml").write_text('[retention]\nraw_messages = "7d"\n')
    del producer.app.installation.policy
    producer.upkeep().round()
    assert kept() == {new}


def test_an_answer_its_producer_was_not_told_of_is_kept_however_old(producer: Producer) -> None:
    asked = complete.delay("secret")
    producer.answer(asked.id, {"text": "x"})
    _age(producer, asked.id, 400)
    producer.upkeep().round()
    assert producer.item(asked.id).arguments is not None


def test_expired_keys_silent_processes_and_sent_chords_are_forgotten(producer: Producer) -> None:
    complete.delay("x", idempotency_key="k")
    with producer.ledger.write() as connection:
        connection.execute(text("UPDATE items SET key_expires_at = 1"))
        progress.beat(connection, "gone", kind="routing", tier=None, detail={})
        connection.execute(text("UPDATE processes SET seen_at = 1"))
        progress.beat(connection, "here", kind="routing", tier=None, detail={})
        for name in ("old", "open"):
            chords.announce(connection, name, 2)
        connection.execute(text("UPDATE chords SET body_sent_at = 1 WHERE group_id = 'old'"))
    producer.upkeep().round()
    assert producer.all_items()[0].idempotency_key is None
    with producer.ledger.read() as connection:
        left = connection.execute(text("SELECT id FROM processes")).scalars().all()
        counted = connection.execute(text("SELECT group_id FROM chords")).scalars().all()
    assert (left, counted) == (["here"], ["open"])


def test_a_part_that_fails_stops_no_other(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = complete.delay("secret")
    producer.tell(producer.answer(asked.id, {"text": "x"}))
    _age(producer, asked.id, 31)
    upkeep = producer.upkeep()

    def broken() -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(upkeep, "_announce", broken)
    broken.__name__ = "_announce"
    upkeep.round()
    assert producer.item(asked.id).arguments is None


def test_no_part_of_a_round_reads_every_item(
    producer_to: Callable[[str], Producer], sqlite_url: str
) -> None:
    producer = producer_to(sqlite_url)
    with plans_of(producer.ledger) as plans:
        producer.upkeep().round()
    assert reads_of_every_item(plans) == []
