"""An item on its last chance runs alone among its like, so that a killer's neighbours live."""

import threading

from sqlalchemy import update

from tests.ledger.moves import SECOND, WORKER, Moves, settlement
from tests.ledger.placed import column, place
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.lifecycle import leases, poison, routes
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items


def _queue(ledger: Ledger, last: int = 2) -> tuple[set[str], bool]:
    with ledger.write() as connection:
        again_at = database_now(connection) + 60 * SECOND
        paused = pauses.in_force(connection)
        queued, more = poison.queue(connection, ["gpu"], last, again_at, paused)
        return {item.id for item in queued}, more


def _end(ledger: Ledger, item_id: str) -> None:
    with ledger.write() as connection:
        ended = update(items).where(items.c.id == item_id).values(state="succeeded", ended_at=1)
        connection.execute(ended)


def test_suspects_are_queued_one_at_a_time(ledger: Ledger) -> None:
    both = {place(ledger, "routed", lost_claims=2) for _ in range(2)}
    first, more = _queue(ledger)
    assert (len(first), more) == (1, True)
    assert _queue(ledger) == (set(), True)
    _end(ledger, *first)
    assert _queue(ledger) == (both - first, True)


def test_a_suspect_that_runs_keeps_the_others_back(ledger: Ledger) -> None:
    place(ledger, "running", lost_claims=2)
    waits = place(ledger, "routed", lost_claims=2)
    assert _queue(ledger) == (set(), True)
    assert column(ledger, waits, "state") == "routed"


def test_whoever_has_lost_fewer_claims_is_queued_with_everybody_else(ledger: Ledger) -> None:
    suspect = place(ledger, "routed", lost_claims=2)
    others = {place(ledger, "routed", lost_claims=lost) for lost in (0, 1)}
    with ledger.write() as connection:
        again_at = database_now(connection) + 60 * SECOND
        ready = routes.queue(connection, "gpu", {"": 10}, again_at, last=2)
    assert {item.id for item in ready} == others
    assert _queue(ledger) == ({suspect}, True)


def test_a_paused_suspect_stays_where_it_is(ledger: Ledger) -> None:
    place(ledger, "routed", lost_claims=2, budget="acme")
    with ledger.write() as connection:
        pauses.pause(connection, "budget", "acme", "ada")
    assert _queue(ledger) == (set(), False)


def test_two_routing_stages_at_once_queue_one_suspect(ledger: Ledger) -> None:
    for _ in range(4):
        place(ledger, "routed", lost_claims=2)
    start = threading.Barrier(2)
    found: list[str] = []

    def stage() -> None:
        start.wait()
        found.extend(_queue(ledger)[0])

    threads = [threading.Thread(target=stage) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


def test_the_last_chance_comes_before_the_last_lost_claim() -> None:
    assert [poison.last_chance(losses) for losses in (1, 2, 3, 5)] == [1, 1, 2, 4]


def test_of_all_that_a_worker_held_the_most_often_lost_is_to_blame(moves: Moves) -> None:
    worn, fresh = moves.running(2)
    with moves.ledger.write() as connection:
        often = update(items).where(items.c.id == worn.item.id).values(lost_claims=2)
        connection.execute(often)
    settled = moves.running()[0]
    moves.settle(settlement(settled))
    with moves.ledger.read() as connection:
        assert leases.most_lost(connection, {WORKER.worker, "another"}) == {WORKER.worker: 2}
    moves.settle(settlement(worn))
    with moves.ledger.read() as connection:
        assert leases.most_lost(connection, {WORKER.worker}) == {WORKER.worker: 0}
    moves.settle(settlement(fresh))
