"""Words and numbers that stand in a statement as they are: no database uses a partial index for a
parameter gladly, and PostgreSQL keeps the plan of a statement that has none. They are those of the
code, never somebody's.
"""

from typing import Any

from sqlalchemy import Column, ColumnElement, literal_column

from tierqueue.ledger.tables import items
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import State


def equals(column: Column[Any], word: str) -> ColumnElement[bool]:
    """Whether a column holds this word."""
    return column == literal_column(f"'{word}'")


def is_in(state: State) -> ColumnElement[bool]:
    """Whether an item is in this state."""
    return equals(items.c.state, state.value)


def is_of(tier: str) -> ColumnElement[bool]:
    """Whether an item goes to this tier."""
    return equals(items.c.tier, Tier(tier).value)


def number(value: int) -> ColumnElement[int]:
    """A number, for a limit."""
    return literal_column(str(int(value)))
