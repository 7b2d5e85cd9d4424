"""What a document has cost is what its pieces have, whoever settles one meanwhile."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.ledger.moves import Moves, settlement
from tierqueue.ledger.lifecycle import items, settlements
from tierqueue.ledger.lifecycle.items import Death
from tierqueue.ledger.session import Ledger


def end(moves: Moves, document: str) -> None:
    """End a document, and wait for nobody."""
    death = Death(document, "rejected", "a piece was refused", {})
    with moves.ledger.write() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '10ms'"))
        items.die(connection, [death], moves.now())


def test_a_document_does_not_end_before_the_piece_that_is_being_settled(
    postgresql_url: str,
) -> None:
    ledger = Ledger(postgresql_url, frozen_seconds=60.0)
    moves = Moves(ledger)
    [document] = moves.submit(split={"on_failure": "fail"})
    [claim] = moves.running(part_of=document, split={"from": 0, "to": 1})
    ready = settlements.prepare(ledger.dialect, [settlement(claim)], moves.now())
    try:
        with ledger.write() as settling:
            settlements.settle(settling, ready)
            with pytest.raises(OperationalError, match="lock timeout"):
                end(moves, document)
        end(moves, document)
        assert (moves.row(claim.item.id).spent, moves.row(document).spent) == (70, 70)
    finally:
        ledger.close()
