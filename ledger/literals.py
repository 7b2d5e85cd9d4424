"""Words that stand in a statement as they are: no database uses a partial index for a parameter
gladly. They are words of the code, never somebody's.
"""

from typing import Any

from sqlalchemy import Column, ColumnElement, literal_column

from tierqueue.ledger.tables import items
from tierqueue.router.lifecycle import State


def equals(column: Column[Any], word: str) -> ColumnElement[bool]:
    """Whether a column holds this word."""
    return column == literal_column(f"'{word}'")


def is_in(state: State) -> ColumnElement[bool]:
    """Whether an item is in this state."""
    return equals(items.c.state, state.value)
