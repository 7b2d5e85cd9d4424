"""A file submitted again and again into one table: what stands there stays, with its cost."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.tasks.jobs.answered import answer
from tests.tasks.producer import Producer
from tests.workers.maintenance.sunk import TICKETS, failing, label, run, sink_of, submitted, tick
from tierqueue.ledger.operations import dead_letters

PAID = 0.000001


@pytest.fixture(autouse=True)
def _costs(helpdesk: Engine) -> None:
    run(helpdesk, "ALTER TABLE tickets ADD COLUMN cost FLOAT")
    run(helpdesk, "ALTER TABLE tickets ADD COLUMN tier TEXT")


def table(helpdesk: Engine) -> list[tuple[Any, ...]]:
    with helpdesk.connect() as connection:
        found = connection.exec_driver_sql("SELECT id, output_label, cost, tier FROM tickets")
        return sorted(tuple(row) for row in found)


def all_written(producer: Producer) -> None:
    answer(producer.ledger, label)
    while tick(producer):
        pass


def test_a_row_that_is_unchanged_is_not_written_again_and_a_new_one_is(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    submitted(producer, path)
    all_written(producer)
    run(helpdesk, "UPDATE tickets SET output_label = 'by hand' WHERE id = 2")
    path.write_text(TICKETS + "4,w\n", encoding="utf-8")
    again = submitted(producer, path)
    all_written(producer)
    assert table(helpdesk) == [
        (1, "x", PAID, "gpu"),
        (2, "by hand", PAID, "gpu"),
        (3, "z", PAID, "gpu"),
        (4, "w", PAID, "gpu"),
    ]
    assert (sink_of(producer, again).written, sink_of(producer, again).look_at) == (4, None)
    assert failing(producer) == []


def test_a_row_that_the_table_has_lost_is_written_again_with_what_was_paid_for_it(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    for _ in range(3):
        submitted(producer, path)
        all_written(producer)
        assert table(helpdesk) == [(n, t, PAID, "gpu") for n, t in ((1, "x"), (2, "y"), (3, "z"))]
        run(helpdesk, "DELETE FROM tickets WHERE id = 1")
        run(helpdesk, "UPDATE tickets SET output_label = NULL, cost = NULL, tier = NULL")


def test_what_ends_once_another_job_has_the_table_has_its_cost(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    submitted(producer, path)
    submitted(producer, path)
    all_written(producer)
    assert table(helpdesk)[0] == (1, "x", PAID, "gpu")


def test_a_text_that_comes_back_takes_the_place_of_the_one_between(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    for text in "xvx":
        path.write_text(f"id,text\n1,{text}\n2,y\n", encoding="utf-8")
        submitted(producer, path)
        all_written(producer)
        assert table(helpdesk) == [(1, text, PAID, "gpu"), (2, "y", PAID, "gpu")]


def test_a_row_with_anothers_answer_has_cost_nothing_each_time(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    path.write_text("id,text\n1,x\n2,x\n", encoding="utf-8")
    for _ in range(2):
        submitted(producer, path)
        all_written(producer)
        assert table(helpdesk) == [(1, "x", PAID, "gpu"), (2, "x", 0.0, "reused")]
        run(helpdesk, "DELETE FROM tickets")


def test_what_is_replayed_is_written_by_the_newest_job_alone(
    producer: Producer, helpdesk: Engine, path: Path
) -> None:
    dead = {"state": "dead", "reason": "rejected", "error": {"message": "no label fits"}}
    submitted(producer, path)
    answer(producer.ledger, lambda said: dead if said["text"] == "x" else label(said))
    while tick(producer):
        pass
    path.write_text(TICKETS.replace("2,y", "2,v"), encoding="utf-8")
    again = submitted(producer, path)
    all_written(producer)
    with producer.ledger.write() as connection:
        failed = [item.id for item in producer.all_items() if item.reason == "rejected"]
        dead_letters.replay(connection, failed, "ada")
    assert sink_of(producer, again).written == 2
    all_written(producer)
    assert [row[:2] for row in table(helpdesk)] == [(1, "x"), (2, "v"), (3, "z")]
    assert sink_of(producer, again).written == 3
