"""The calls of items, read for many at once."""

from tests.ledger.moves import Moves, settlement
from tierqueue.ledger.evaluation import calls
from tierqueue.router.outcome import Usage


def test_each_item_has_its_calls_in_their_order(moves: Moves) -> None:
    (claim,) = moves.running()
    used = Usage(input_tokens=100, cache_read_tokens=20, output_tokens=10)
    moves.settle(settlement(claim, usage=as_dict(used), seconds=0.25))
    with moves.ledger.read() as connection:
        found = calls.by_item(connection, [claim.item.id, "nobody"])
    (call,) = found.pop(claim.item.id)
    assert not found
    assert (call.tier, call.outcome, call.cost, call.tokens) == ("gpu", "accepted", 70, 130)
    assert call.seconds == 0.25


def as_dict(usage: Usage) -> dict[str, object]:
    return {name: getattr(usage, name) for name in Usage.__slots__}
