"""Batches in the ledger: whatever happens to one, the books balance and nobody runs twice."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.moves import SECOND, WORKER, Moves, ceiling, settlement
from tierqueue.ledger.lifecycle import batches, claims, items
from tierqueue.ledger.lifecycle.batches import Batch, LostBatch
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.session import Ledger
from tierqueue.router.lifecycle import State
from tierqueue.router.policy.lanes import GIVEN_UP_US

LEASE_US = 60 * SECOND


def collect(moves: Moves, count: int, *, deadline: int = 10**15) -> list[str]:
    """Items that wait for a batch."""
    later = moves.now() + deadline
    ids = moves.submit(count, deadline=later)
    moves.route(reason="batch", lane="batch", state="waiting", ready_at=later)
    return ids


def form(moves: Moves, name: str, most: int = 100) -> list[Claim]:
    """Hand over what waits, in one batch."""
    with moves.ledger.write() as connection:
        wanted = batches.candidates(connection, WORKER.deployment, most, ())
        known = claims.read(connection, wanted)
        now = moves.now()
        by = replace(WORKER, batch=name)
        claimed = claims.claim(connection, by, wanted, known, now).claimed
        if claimed:
            batches.form(connection, name, WORKER.deployment, claimed, "me", now, LEASE_US)
    return claimed


def due(moves: Moves, worker: str, after: int = 0) -> Batch | None:
    with moves.ledger.write() as connection:
        at = moves.now() + after
        return batches.due(connection, [WORKER.deployment], worker, at, LEASE_US)


def test_what_is_handed_over_holds_its_bound_and_has_no_lease(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 1_000))
    ids = collect(moves, 3)
    claimed = form(moves, "b1")
    assert [claim.item.id for claim in claimed] == sorted(ids)
    rows = [moves.row(key) for key in ids]
    assert {(row.state, row.lease_until, row.held) for row in rows} == {("handed_over", None, 100)}
    assert moves.books()["everything:*:total:all"][:2] == (300, 0)
    assert {moves.history(key)[0].batch for key in ids} == {"b1"}


def test_collected_items_go_to_no_queue_and_handed_over_ones_outlive_their_lease(
    moves: Moves,
) -> None:
    collect(moves, 2)
    assert moves.queue() == {}
    form(moves, "b1")
    assert moves.queue() == {}
    moves.wake()
    assert moves.queue() == {}


def test_a_line_settles_its_item_under_its_fence_alone(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 1_000))
    [key] = collect(moves, 1)
    [claim] = form(moves, "b1")
    assert moves.settle(settlement(claim)).stale == []
    assert moves.row(key).state == "succeeded"
    assert len(moves.settle(settlement(claim)).stale) == 1
    assert moves.books()["everything:*:total:all"][:2] == (0, 70)


def test_one_worker_looks_after_a_batch_until_its_lease_ends(moves: Moves) -> None:
    collect(moves, 1)
    form(moves, "b1")
    assert due(moves, "other") is None
    mine = due(moves, "me")
    assert mine is not None
    taken = due(moves, "other", after=2 * LEASE_US)
    assert taken is not None
    assert taken.worker == "other"
    with moves.ledger.write() as connection, pytest.raises(LostBatch):
        batches.note(connection, mine, state="sent")


def test_what_is_cancelled_in_a_batch_ends_with_its_line(moves: Moves) -> None:
    [key] = collect(moves, 1)
    [claim] = form(moves, "b1")
    with moves.ledger.write() as connection:
        assert items.cancel(connection, [key], "me").ended == []
        assert batches.all_cancelled(connection, "b1")
    moves.settle(settlement(claim, outcome="interrupted", cost=0, next_state=State.SUBMITTED))
    assert moves.row(key).state == "cancelled"


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["collect", "form", "settle", "again", "late", "cancel", "live"]),
        st.integers(0, 9),
    ),
    max_size=14,
)


@pytest.mark.long
@settings(max_examples=60)
@given(steps=_STEPS)
def test_the_books_balance_whatever_happens_to_a_batch(
    migrated_sqlite: Path, steps: Sequence[tuple[str, int]]
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        shutil.copyfile(migrated_sqlite, path)
        ledger = Ledger(f"sqlite:///{path}")
        try:
            _walk(Moves(ledger), steps)
        finally:
            ledger.close()


def _walk(moves: Moves, steps: Sequence[tuple[str, int]]) -> None:
    moves.ceilings(ceiling("everything", 700))
    ids: list[str] = []
    open_: list[Claim] = []
    for number, (step, which) in enumerate(steps):
        match step:
            case "collect":
                ids += collect(
                    moves, 1 + which % 3, deadline=GIVEN_UP_US // 2 if which > 7 else 10**18
                )
            case "form":
                open_ += form(moves, f"b{number}", 1 + which)
            case "settle" if open_:
                moves.settle(settlement(open_[which % len(open_)]))
            case "again" if open_:
                claim = open_[which % len(open_)]
                moves.settle(
                    settlement(claim, outcome="interrupted", cost=0, next_state=State.SUBMITTED)
                )
            case "late":
                with moves.ledger.write() as connection:
                    overdue = batches.overdue(connection, moves.now(), 10)
                for item, attempt in overdue:
                    claim = next(
                        one for one in open_ if (one.item.id, one.fence) == (item.id, attempt.fence)
                    )
                    moves.expire(claim, cost=attempt.held, next_state=State.SUBMITTED)
            case "cancel" if ids:
                with moves.ledger.write() as connection:
                    items.cancel(connection, [ids[which % len(ids)]], "me")
            case "live" if ids:
                with moves.ledger.write() as connection:
                    batches.go_live(connection, [ids[which % len(ids)]])
            case _:
                pass
        held, spent, _ = moves.books().get("everything:*:total:all", (0, 0, 0))
        assert held >= 0
        assert spent >= 0
        rows = [moves.row(key) for key in ids]
        assert held == sum(row.held for row in rows)
        for row in rows:
            open_attempts = [one for one in moves.history(row.id) if one.ended_at is None]
            assert len(open_attempts) == (row.state == "handed_over")
