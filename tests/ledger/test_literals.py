"""A word of the code stands in a statement itself, as a partial index states it."""

from tierqueue.ledger.literals import equals, is_in
from tierqueue.ledger.tables import items
from tierqueue.router.lifecycle import State, Wait


def test_a_state_is_no_parameter() -> None:
    assert str(is_in(State.DEAD)) == "items.state = 'dead'"
    assert str(~is_in(State.ROUTED)) == "items.state != 'routed'"
    assert is_in(State.DEAD).compile().params == {}


def test_a_reason_is_no_parameter() -> None:
    assert str(equals(items.c.reason, Wait.BATCH)) == "items.reason = 'batch'"
