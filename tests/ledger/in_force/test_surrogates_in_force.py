"""Audits of surrogates are compared once their items end; what is switched off stays off."""

from typing import Any

from tests.ledger.placed import place
from tierqueue.ledger.in_force.surrogates import (
    Audit,
    Record,
    SwitchOff,
    audit,
    compare,
    record,
    switch_off,
    switched_off,
)
from tierqueue.ledger.session import Ledger


def label(said: str, output: Any) -> bool | None:
    return None if output is None else bool(output["label"] == said)


def audited(ledger: Ledger, state: str, said: str, output: Any = None) -> str:
    """An item that the surrogate would have answered with ``said``."""
    item_id = place(ledger, state, output=output)
    with ledger.write() as connection:
        for _ in range(2):
            audit(connection, [Audit(item_id, "tierqueue.classify", "s-1", said)], 1)
    return item_id


def test_an_audit_is_compared_once_its_item_has_succeeded(ledger: Ledger) -> None:
    audited(ledger, "succeeded", "card", {"label": "card"})
    audited(ledger, "succeeded", "card", {"label": "login"})
    audited(ledger, "running", "card")
    with ledger.write() as connection:
        assert compare(connection, label) == {"s-1": Record(compared=2, differed=1)}
        assert compare(connection, label) == {}
        assert record(connection, "s-1") == Record(2, 1)
        assert record(connection, "s-2") == Record(0, 0)


def test_what_ended_without_an_answer_says_nothing_of_the_surrogate(ledger: Ledger) -> None:
    audited(ledger, "dead", "card")
    audited(ledger, "succeeded", "card", None)
    with ledger.write() as connection:
        assert compare(connection, label) == {}
        assert record(connection, "s-1") == Record(0, 0)


def test_a_surrogate_is_switched_off_once_and_stays_so(ledger: Ledger) -> None:
    off = SwitchOff("s-1", "tierqueue.classify", 7, Record(40, 12))
    with ledger.write() as connection:
        assert switch_off(connection, off)
        assert not switch_off(connection, SwitchOff("s-1", "tierqueue.classify", 9, Record(50, 12)))
    with ledger.read() as connection:
        assert switched_off(connection, ["s-1", "s-2"]) == [off]
        assert switched_off(connection, []) == []
