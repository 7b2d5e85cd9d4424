"""What the ledger knows of calls that were made not long ago."""

from tests.ledger.moves import WORKER, Moves, settlement
from tierqueue.ledger.monitoring import recent_calls
from tierqueue.ledger.monitoring.recent_calls import RecentCall
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import Tier


def called(ledger: Ledger, at: int = 0) -> list[RecentCall]:
    with ledger.read() as connection:
        return recent_calls.since(connection, Tier(WORKER.tier), WORKER.deployment, at)


def test_a_call_that_runs_counts_by_its_bound_and_one_that_ended_by_what_it_used(
    ledger: Ledger,
) -> None:
    moves = Moves(ledger)
    [claim] = moves.running()
    [call] = called(ledger)
    assert (call.ended_at, call.started_at) == (None, claim.started_at)
    usage = {"input_tokens": 7, "cache_read_tokens": 2, "output_tokens": 5}
    moves.settle(settlement(claim, usage=usage))
    [call] = called(ledger)
    assert call.ended_at is not None
    assert (call.input, call.output) == (9, 5)


def test_a_call_from_before_is_none_of_them(ledger: Ledger) -> None:
    [claim] = Moves(ledger).running()
    assert called(ledger, claim.started_at) == []
