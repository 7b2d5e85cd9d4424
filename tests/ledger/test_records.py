"""Records say of their columns what the tables say, since what the driver gives is unchecked."""

from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Integer, Table, Text

from tests.ledger.moves import Moves
from tierqueue.ledger import tables
from tierqueue.ledger.job_records import JobRecord, RowAnswer
from tierqueue.ledger.lifecycle import claims, leases
from tierqueue.ledger.lifecycle.routes import RoutedItem
from tierqueue.ledger.operations.dead_letters import DeadLetter
from tierqueue.ledger.operations.item_list import ListedItem
from tierqueue.ledger.records import Attempt, Item, ReadyItem
from tierqueue.ledger.whole_item import WholeItem
from tierqueue.router.lifecycle import State

RECORDS = [
    (Item, tables.items),
    (WholeItem, tables.items),
    (ListedItem, tables.items),
    (DeadLetter, tables.items),
    (Attempt, tables.attempts),
    (JobRecord, tables.jobs),
    (ReadyItem, tables.items),
    (RoutedItem, tables.items),
    (claims._QueuedItem, tables.items),
]
SET_ONCE_DEAD = {"reason", "ended_at"}
"""Columns that are null before an item has ended, and never of a dead letter."""

SET_ONCE_ROUTED = {"deployment", "tier", "deadline", "bound", "token_bound", "budget", "route"}
"""Columns that are null before an item is routed, and never after."""


def kinds(hint: Any) -> set[Any]:
    """The plain types a field may hold."""
    parts = [part for part in get_args(hint) if part is not NoneType] or [hint]
    return {
        getattr(get_origin(part) or part, "__supertype__", get_origin(part) or part)
        for part in parts
    }


def kind_of(column: Column[Any]) -> type:
    for sql, kind in (
        (Boolean, bool),
        (Double, float),
        (BigInteger, int),
        (Integer, int),
        (Text, str),
    ):
        if isinstance(column.type, sql):
            return kind
    assert isinstance(column.type, JSON)
    return object


@pytest.mark.parametrize(("record", "table"), RECORDS, ids=[kind.__name__ for kind, _ in RECORDS])
def test_a_field_is_of_its_columns_type_and_none_where_that_may_be_null(
    record: Any, table: Table
) -> None:
    hints = get_type_hints(record)
    assert set(hints) - {"outdated", "job_of_first"} <= set(table.c.keys())
    for name in hints.keys() & table.c.keys():
        column = table.c[name]
        if kind_of(column) is not object:
            assert kinds(hints[name]) in ({kind_of(column)}, {State}), name
        may_be_null = column.nullable and not (
            record in (ReadyItem, RoutedItem, claims._QueuedItem) and name in SET_ONCE_ROUTED
        )
        if may_be_null and not (record is DeadLetter and name in SET_ONCE_DEAD):
            assert NoneType in get_args(hints[name]), name


def test_a_record_holds_its_row_whatever_order_the_columns_have(moves: Moves) -> None:
    [claim] = moves.running(priority=3, arguments={"text": "Where?"})
    item, arguments = claim.item, claim.arguments
    assert (item.task, item.priority, item.fence, item.bound) == ("tierqueue.classify", 3, 0, 100)
    assert arguments == {"text": "Where?"}
    with moves.ledger.write() as connection:
        [(item, attempt)] = leases.lapsed(connection, claim.started_at + 10**9, 10)
    row = moves.row(item.id)._asdict()
    assert list(row) == tables.items.c.keys()
    assert {name: row[name] for name in Item._fields} == item._asdict()
    assert moves.history(item.id)[0]._asdict() == attempt._asdict()


def test_what_is_called_is_in_no_record_that_is_passed_around_or_logged(moves: Moves) -> None:
    [claim] = moves.running(arguments={"text": "a secret"})
    assert "a secret" not in repr(claim)
    assert "a secret" not in repr(moves.row(claim.item.id))
    answered = (1, "", None, "i", "succeeded", None, "gpu", "a secret", *[None] * 7)
    assert "a secret" not in repr(RowAnswer.from_row(answered))
    assert not {"arguments", "output", "receipt", "error", "metadata"} & set(Item._fields)
