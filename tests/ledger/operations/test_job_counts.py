"""A job's sums: whatever moves its rows, and whoever, they are what counting would give."""

import random
import threading
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from tests.ledger.moves import SECOND, WORKER, Moves, new_item, settlement
from tierqueue.ledger import tables
from tierqueue.ledger.lifecycle import batches, claims, documents, items
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.operations import dead_letters, erasure, job_counts, job_rows, jobs
from tierqueue.ledger.operations.job_counts import JobCounts
from tierqueue.ledger.operations.job_rows import JobRow
from tierqueue.router.lifecycle import State

_AFTER = {
    "accepted": State.SUCCEEDED,
    "failed": State.WAITING,
    "rejected": State.SUBMITTED,
    "interrupted": State.ROUTED,
    "refused": State.DEAD,
}


def _job(moves: Moves, own: int, shared: list[str]) -> tuple[str, list[str]]:
    """A job of ``own`` items, and of rows that have the ``shared`` ones."""
    with moves.ledger.write() as connection:
        job_id = jobs.create(connection, task="t", source="f", max_cost=None, now=1, path="f.csv")
        new = [
            new_item(job_id=job_id, job_index=number, prompt_bytes=100 + number)
            for number in range(own)
        ]
        items.prepare(moves.ledger.dialect, new, moves.now()).write(connection)
        rows = [
            JobRow(job_id=job_id, number=number, item_id=item, content="c", fingerprint=asked)
            for number, (item, asked) in enumerate(
                [*((item.id, "f") for item in new), *((item, None) for item in shared)]
            )
        ]
        job_rows.prepare(moves.ledger.dialect, rows).write(connection)
    return job_id, [item.id for item in new]


def _counted(moves: Moves, job_id: str) -> JobCounts:
    with moves.ledger.read() as connection:
        return job_counts.counted(connection, job_id, 1)


def _by_hand(moves: Moves, job_id: str) -> dict[str, Any]:
    """The same by counting every row."""
    rows, of = tables.job_rows, tables.items
    asked = select(of, rows.c.fingerprint.label("asked")).join(rows, rows.c.item_id == of.c.id)
    booked = (
        select(tables.attempts.c.cost)
        .join(of, of.c.id == tables.attempts.c.item_id)
        .where(of.c.job_id == job_id, tables.attempts.c.outcome.in_(("unknown", "lost")))
    )
    with moves.ledger.read() as connection:
        found = connection.execute(asked.where(rows.c.job_id == job_id)).mappings().all()
        unknown = sum(connection.execute(booked).scalars())
    own = [row for row in found if row["asked"] is not None]
    paces: dict[tuple[Any, bool], Counter[str]] = {}
    for row in own:
        pace = paces.setdefault((row["tier"], row["refused_by"] is not None), Counter())
        spent, size = row["spent"], row["prompt_bytes"]
        if row["ended_at"] is None:
            pace.update(left=1, size_left=size)
        else:
            pace.update(ended=1, spent=spent, squares=spent**2, size=size)
            pace.update(size_squares=size**2, size_spent=size * spent)
    return {
        "states": Counter(row["state"] for row in found),
        "dead": Counter(row["reason"] for row in found if row["state"] == "dead"),
        "spent": sum(row["spent"] for row in own) - unknown,
        "booked": unknown,
        "held": sum(row["held"] for row in own),
        "reused": len(found) - len(own),
        "paces": {key: +pace for key, pace in paces.items()},
    }


def _told(found: JobCounts) -> dict[str, Any]:
    sums = ("ended", "left", "spent", "squares", "size", "size_squares", "size_spent", "size_left")
    return {
        **{name: getattr(found, name) for name in ("states", "dead", "spent", "booked")},
        **{name: getattr(found, name) for name in ("held", "reused")},
        "paces": {
            (pace.tier, pace.went_on): +Counter({name: getattr(pace, name) for name in sums})
            for pace in found.paces
        },
    }


class _Walk:
    """Moves of the items of some jobs, one after the other, as ``chosen`` says."""

    def __init__(self, moves: Moves, chosen: random.Random) -> None:
        self.moves, self.chosen = moves, chosen
        self.ids: list[str] = []
        self.jobs: list[str] = []
        self.claims: list[Claim] = []

    def submit(self) -> None:
        shared = [item for item in self.ids if self.chosen.random() < 0.3] or self.ids[:1]
        job_id, own = _job(self.moves, self.chosen.randrange(1, 6), shared)
        self.jobs.append(job_id)
        self.ids += own

    def route(self) -> None:
        self.moves.wake()
        later = self.moves.now() + 10**12
        collected = {"reason": "batch", "lane": "batch", "state": "waiting", "ready_at": later}
        self.moves.route(**(collected if self.chosen.random() < 0.3 else {}))

    def claim(self) -> None:
        self.claims += self.moves.claim(self.moves.queue()).claimed

    def hand_over(self) -> None:
        with self.moves.ledger.write() as connection:
            wanted = batches.candidates(connection, WORKER.deployment, 5, ())
            known = claims.read(connection, wanted)
            by = replace(WORKER, batch=items.new_id())
            self.claims += claims.claim(connection, by, wanted, known, self.moves.now()).claimed

    def settle(self) -> None:
        """A call ends, in time or late; so does one again that has ended before."""
        if self.claims:
            claim = self.chosen.choice(self.claims)
            in_batch = self.moves.row(claim.item.id).state == "handed_over"
            known = {"accepted", "rejected", "refused"} if in_batch else _AFTER
            outcome = self.chosen.choice(sorted(known))
            refused = ["gpu"] if outcome == "rejected" else None
            changed = {"outcome": outcome, "next_state": _AFTER[outcome], "refused_by": refused}
            ready = {"ready_at": self.moves.now(), "reason": "rejected"}
            cost = self.chosen.randrange(100)
            made = settlement(claim, cost=cost, **changed, **ready)
            self.moves.settle(made)

    def lose(self) -> None:
        if self.claims:
            claim = self.chosen.choice(self.claims)
            in_batch = self.moves.row(claim.item.id).state == "handed_over"
            then = State.DEAD if in_batch else self.chosen.choice([State.ROUTED, State.DEAD])
            self.moves.expire(claim, cost=100, next_state=then)

    def cancel(self) -> None:
        with self.moves.ledger.write() as connection:
            items.cancel(connection, self.chosen.sample(self.ids, min(2, len(self.ids))), "ada")

    def replay(self) -> None:
        with self.moves.ledger.write() as connection:
            dead = dead_letters.listed(connection, dead_letters.DeadLetterQuery(), 3)
            dead_letters.replay(connection, [row.id for row in dead], "ada")

    def forget(self) -> None:
        with self.moves.ledger.write() as connection:
            erasure.expire(connection, (State.DEAD,), self.moves.now(), 2)

    def fold(self) -> None:
        with self.moves.ledger.write() as connection:
            job_counts.fold(connection)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_the_sums_are_what_counting_would_give_after_any_moves(moves: Moves, seed: int) -> None:
    walk = _Walk(moves, random.Random(seed))
    steps = [walk.submit, walk.route, walk.claim, walk.hand_over, walk.settle, walk.settle]
    steps += [walk.settle, walk.lose, walk.cancel, walk.replay, walk.forget, walk.fold]
    walk.submit()
    walk.submit()
    for step in walk.chosen.choices(steps, k=60):
        step()
        for job_id in walk.jobs:
            assert _told(_counted(moves, job_id)) == _by_hand(moves, job_id), step.__name__
    assert any(_counted(moves, job_id).reused for job_id in walk.jobs)


def test_whoever_writes_is_counted_also_one_that_knows_of_no_sums(moves: Moves) -> None:
    job_id, [first, second] = _job(moves, 2, [])
    with moves.ledger.write() as connection:
        connection.execute(text("UPDATE items SET state = 'succeeded', spent = 7"))
        connection.execute(text("UPDATE items SET spent = 9 WHERE id = :id"), {"id": first})
    assert _counted(moves, job_id).states == {"succeeded": 2}
    assert (_counted(moves, job_id).spent, moves.row(second).spent) == (16, 7)


def test_what_is_written_by_one_that_adds_nothing_up_is_counted_at_once(moves: Moves) -> None:
    job_id, [first, _] = _job(moves, 2, [])
    with moves.ledger.engine.begin() as connection:
        ended = "UPDATE items SET state = 'succeeded', spent = 7, ended_at = 3000000"
        connection.execute(text(ended))
    assert _told(_counted(moves, job_id)) == _by_hand(moves, job_id)
    with moves.ledger.engine.begin() as connection:
        connection.execute(text("UPDATE items SET spent = 9 WHERE id = :id"), {"id": first})
    with moves.ledger.write():
        pass
    assert _told(_counted(moves, job_id)) == _by_hand(moves, job_id)


def test_what_is_rolled_back_is_not_counted(moves: Moves) -> None:
    job_id, [first] = _job(moves, 1, [])
    twice = new_item(id=first, job_id=job_id, job_index=7)
    new = [new_item(job_id=job_id, job_index=6), twice]
    rows = items.prepare(moves.ledger.dialect, new, moves.now())
    with pytest.raises(IntegrityError), moves.ledger.write() as connection:
        rows.write(connection)
    assert _counted(moves, job_id).states == {"submitted": 1}


def test_a_document_that_goes_as_one_is_counted_as_any_other_item(moves: Moves) -> None:
    with moves.ledger.write() as connection:
        job_id = jobs.create(connection, task="t", source="f", max_cost=None, now=1, path="f.csv")
        whole = new_item(job_id=job_id, job_index=0, split={"pages": 2})
        items.prepare(moves.ledger.dialect, [whole], moves.now()).write(connection)
    assert _counted(moves, job_id).documents == 1
    with moves.ledger.write() as connection:
        documents.as_one(connection, whole.id)
    counted = _counted(moves, job_id)
    assert (counted.documents, counted.states) == (0, {"submitted": 1})


def test_an_item_that_ends_while_a_row_takes_it_over_is_counted_once(moves: Moves) -> None:
    _, [item] = _job(moves, 1, [])
    moves.route()
    [claim] = moves.claim(moves.queue()).claimed
    made: list[str] = []
    writers = [
        threading.Thread(target=lambda: made.append(_job(moves, 0, [item])[0])),
        threading.Thread(target=lambda: moves.settle(settlement(claim))),
        threading.Thread(target=lambda: made.append(_job(moves, 0, [item])[0])),
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [_counted(moves, job_id).states for job_id in made] == [{"succeeded": 1}] * 2


def test_many_that_fold_at_once_add_everything_once(moves: Moves) -> None:
    job_id, _ = _job(moves, 50, [])

    def fold() -> None:
        for _ in range(5):
            with moves.ledger.write() as connection:
                job_counts.fold(connection)

    folding = [threading.Thread(target=fold) for _ in range(4)]
    for one in folding:
        one.start()
    moves.route()
    moves.settle(*(settlement(claim) for claim in moves.claim(moves.queue()).claimed))
    for one in folding:
        one.join()
    fold()
    assert _told(_counted(moves, job_id)) == _by_hand(moves, job_id)
    with moves.ledger.read() as connection:
        assert connection.execute(select(tables.job_deltas)).all() == []


def test_it_is_known_for_some_minutes_how_many_ended_in_which_second(moves: Moves) -> None:
    job_id, _ = _job(moves, 3, [])
    moves.route()
    wanted = moves.claim(moves.queue()).claimed
    at = moves.now()
    moves.settle(settlement(wanted[0]), now=at - 90 * SECOND)
    moves.settle(*(settlement(claim) for claim in wanted[1:]), now=at)
    with moves.ledger.read() as connection:
        [pace] = job_counts.counted(connection, job_id, at - 60 * SECOND).paces
    assert (pace.ended, sum(pace.ends.values()), pace.left) == (3, 2, 0)
    with moves.ledger.write() as connection:
        job_counts.fold(connection)
        job_counts.forget_ends(connection, at + 10_000 * SECOND)
    [pace] = _counted(moves, job_id).paces
    assert (pace.ended, pace.ends) == (3, {})


def test_when_the_first_calls_began_is_asked_of_those_that_ended_first(moves: Moves) -> None:
    job_id, _ = _job(moves, 2, [])
    moves.route()
    claimed = moves.claim(moves.queue(), now=1_000 * SECOND).claimed
    moves.settle(*(settlement(claim) for claim in claimed), now=1_002 * SECOND)
    with moves.ledger.read() as connection:
        assert job_counts.began(connection, job_id, 1_002) == 1_000 * SECOND
        assert job_counts.began(connection, job_id, 5_000) is None
