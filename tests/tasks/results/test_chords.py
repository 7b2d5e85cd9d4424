"""Chords of items: their bodies, chords in chords, and what a replay does."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import chord, group
from celery.exceptions import ChordError
from sqlalchemy import select, update

from tests.tasks.foreign_app import echo, mourn, tally
from tests.tasks.foreign_app import foreign as foreign_app
from tests.tasks.producer import Producer
from tests.waiting import until
from tierqueue.ledger.results import chords as ledger_chords
from tierqueue.ledger.tables import chords
from tierqueue.router.errors import NoRoute
from tierqueue.tasks import complete, extract
from tierqueue.tasks.results.replay import replay

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    # Celery leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], ledger_url: str, valkey: Any) -> Producer:
    """A producer on each database."""
    foreign_app.conf.update(broker_url=valkey.url, result_backend=valkey.url)
    return producer_to(ledger_url)


def test_a_chord_of_items_runs_a_body_of_ours_once(producer: Producer) -> None:
    asked = chord(
        [extract.s("one", {"n": "integer"}), extract.s("two", {"n": "integer"})],
        complete.si("both are in"),
    ).apply_async()
    for result in asked.parent.results:
        producer.tell_twice(producer.answer(result.id, {"n": 1}))
    bodies = [row for row in producer.all_items() if row.task == "tierqueue.complete"]
    assert [row.id for row in bodies] == [asked.id]
    producer.tell(producer.answer(asked.id, {"text": "done"}))
    assert asked.get(timeout=60)["output"] == {"text": "done"}


def test_a_chord_whose_sender_was_killed_is_sent_by_another_after_15_seconds(
    producer: Producer,
) -> None:
    asked = chord([complete.s("one"), complete.s("two")], complete.si("both are in")).apply_async()
    *_, last = [producer.answer(part.id, {"text": "."}) for part in asked.parent.results]
    with producer.ledger.write() as connection:
        (group_id,) = connection.execute(select(chords.c.group_id)).scalars()
        assert ledger_chords.begin(connection, group_id)

    def seconds_later(seconds: int) -> None:
        earlier = chords.c.begun_at - seconds * 1_000_000
        with producer.ledger.write() as connection:
            connection.execute(update(chords).values(begun_at=earlier))
        producer.tell(last)

    seconds_later(14)
    assert producer.item(asked.id) is None
    seconds_later(1)
    assert producer.item(asked.id) is not None


def test_a_chord_with_a_dead_header_fails_its_body(producer: Producer) -> None:
    asked = chord([complete.s("one"), complete.s("two")], complete.si("both are in")).apply_async()
    first, second = asked.parent.results
    producer.tell_twice(producer.kill(first.id, "no_route"))
    producer.tell(producer.answer(second.id, {"text": "fine"}))
    with pytest.raises(NoRoute):
        asked.get(timeout=60)
    assert isinstance(asked.result, ChordError)
    assert producer.item(asked.id) is None


def test_a_chord_in_a_chain_comes_true(producer: Producer) -> None:
    asked = (
        complete.s("start") | group(complete.si("a"), complete.si("b")) | complete.si("end")
    ).apply_async()
    start = next(row.id for row in producer.all_items())
    producer.tell_twice(producer.answer(start, {"text": "go"}))
    header = [row.id for row in producer.all_items() if row.id != start]
    assert len(header) == 2
    for result in header:
        producer.tell_twice(producer.answer(result, {"text": "ok"}))
    producer.tell(producer.answer(asked.id, {"text": "the end"}))
    assert asked.get(timeout=60)["output"] == {"text": "the end"}
    assert len(producer.all_items()) == 4


def test_a_chord_within_a_chord_comes_true(producer: Producer) -> None:
    inner = chord([complete.s("i1"), complete.s("i2")], complete.si("inner body"))
    asked = chord([inner, complete.s("o1")], complete.si("outer body")).apply_async()

    def ready(prompt: str) -> str:
        return str(next(r.id for r in producer.all_items() if r.arguments["prompt"] == prompt))

    for prompt in ("i1", "i2", "o1"):
        producer.tell_twice(producer.answer(ready(prompt), {"text": prompt}))
    assert producer.item(asked.id) is None
    producer.tell_twice(producer.answer(ready("inner body"), {"text": "in"}))
    producer.tell(producer.answer(ready("outer body"), {"text": "out"}))
    assert asked.get(timeout=60)["output"] == {"text": "out"}


def test_a_chord_whose_part_is_a_failed_chord_fails_with_it_at_any_depth(
    producer: Producer, foreign: Any
) -> None:
    lowest = chord([complete.s("a"), complete.s("b")], complete.si("lowest"))
    middle = chord([lowest, complete.s("c")], complete.si("middle"))
    told = complete.si("highest").on_error(mourn.s().set(queue="foreign"))
    asked = chord([middle, complete.s("d")], told).apply_async()
    items = {row.arguments["prompt"]: row.id for row in producer.all_items()}
    for prompt in ("c", "d", "a"):
        producer.tell_twice(producer.answer(items[prompt], {"text": prompt}))
    producer.tell_twice(producer.kill(items["b"], "no_route"))
    with pytest.raises(ChordError):
        asked.get(timeout=60)
    until(producer.notes)
    assert [note[0] for note in producer.notes()] == ["mourn"]
    assert len(producer.all_items()) == 4


def test_a_chord_fails_with_the_first_of_several_chords_in_it(
    producer: Producer, foreign: Any
) -> None:
    parts = [
        chord([complete.s(f"{name}1"), complete.s(f"{name}2")], complete.si(name)) for name in "ab"
    ]
    told = complete.si("both").on_error(mourn.s().set(queue="foreign"))
    asked = chord(parts, told).apply_async()
    for row in producer.all_items():
        producer.tell_twice(producer.kill(row.id, "no_route"))
    with pytest.raises(ChordError):
        asked.get(timeout=60)
    until(producer.notes)
    assert [note[0] for note in producer.notes()] == ["mourn"]


def test_what_follows_a_chord_in_a_chain_fails_with_it(producer: Producer) -> None:
    header = group(complete.si("a"), complete.si("b"))
    asked = (header | complete.si("body") | complete.si("end")).apply_async()
    for row in producer.all_items():
        producer.tell_twice(producer.kill(row.id, "no_route"))
    with pytest.raises((ChordError, NoRoute)):
        asked.get(timeout=60)
    within = chord(
        [header | complete.si("c") | complete.si("d"), complete.si("e")], complete.si("f")
    )
    asked = within.apply_async()
    for row in producer.all_items():
        if row.state == "submitted":
            producer.tell_twice(producer.kill(row.id, "no_route"))
    with pytest.raises((ChordError, NoRoute)):
        asked.get(timeout=60)


def test_a_chord_mixed_with_another_teams_tasks_comes_true(
    producer: Producer, foreign: Any
) -> None:
    asked = chord([complete.s("ours"), echo.s("theirs")], tally.s()).apply_async()
    ours, theirs = asked.parent.results
    assert theirs.get(timeout=60) == "theirs"
    producer.tell_twice(producer.answer(ours.id, {"text": "mine"}))
    tallied = asked.get(timeout=60)["tallied"]
    assert [tallied[0]["output"], tallied[1]] == [{"text": "mine"}, "theirs"]
    assert [note for note in producer.notes() if note[0] == "tally"] == [["tally", 2]]


def test_a_chord_that_failed_of_its_header_comes_true_after_a_replay(
    producer: Producer, foreign: Any
) -> None:
    body = complete.si("body").on_error(mourn.s().set(queue="foreign"))
    asked = chord([complete.s("a"), complete.s("b"), complete.s("c")], body).apply_async()
    first, second, third = asked.parent.results
    producer.tell_twice(producer.answer(first.id, {"text": "1"}))
    for result in (second, third):
        producer.die(result.id)
    assert isinstance(asked.result, ChordError)
    until(producer.notes)
    # A part of the chord alone: the body fails again, and nobody mourns it twice.
    replay(producer.app, [second.id], "ada")
    assert asked.state == "PENDING"
    producer.tell_twice(producer.answer(second.id, {"text": "2"}))
    assert isinstance(asked.result, ChordError)
    assert producer.item(asked.id) is None
    replay(producer.app, [third.id], "ada")
    producer.tell_twice(producer.answer(third.id, {"text": "3"}))
    assert producer.item(asked.id) is not None
    producer.tell(producer.answer(asked.id, {"text": "the end"}))
    assert asked.get(timeout=60)["output"] == {"text": "the end"}
    assert [note[0] for note in producer.notes()] == ["mourn"]


def test_a_chord_within_another_fails_it_and_comes_true_after_a_replay(
    producer: Producer, foreign: Any
) -> None:
    inner = [
        chord([complete.s(f"{name}1"), complete.s(f"{name}2")], complete.si(name))
        for name in ("one", "two")
    ]
    asked = chord(
        inner, complete.si("outer").on_error(mourn.s().set(queue="foreign"))
    ).apply_async()
    rows = {row.arguments["prompt"]: row.id for row in producer.all_items()}
    for prompt in ("one1", "two1"):
        producer.tell(producer.answer(rows[prompt], {"text": prompt}))
    for prompt in ("one2", "two2"):
        producer.die(rows[prompt])
    until(lambda: isinstance(asked.result, ChordError))
    until(producer.notes)
    replay(producer.app, [rows["one2"], rows["two2"]], "ada")
    for prompt in ("one2", "two2", "one", "two", "outer"):
        rows |= {row.arguments["prompt"]: row.id for row in producer.all_items()}
        producer.tell(producer.answer(rows[prompt], {"text": prompt}))
    assert asked.get(timeout=60)["output"] == {"text": "outer"}
    assert [note[0] for note in producer.notes()] == ["mourn"]
