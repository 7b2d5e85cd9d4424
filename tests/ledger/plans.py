"""What SQLite plans to do for everything that a ledger is asked meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from tierqueue.ledger.session import Ledger


@contextmanager
def plans_of(ledger: Ledger) -> Iterator[list[str]]:
    """A list that holds, once the block has ended, each line of the plan of each statement."""
    asked: list[tuple[str, Any]] = []
    plans: list[str] = []

    def note(*execution: Any) -> None:
        asked.append(execution[2:4])

    engines = (ledger._reader, ledger._writer)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield plans
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
    with ledger.read() as connection:
        for statement, parameters in asked:
            if statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                one = parameters[0] if isinstance(parameters, list) else parameters
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", one)
                plans += [str(line[3]) for line in plan]


def reads_of_every_item(plans: list[str]) -> list[str]:
    """The lines that read every item; asserts that some read items at all.

    Only the small indexes of one state may be read whole.
    """
    read = [line for line in plans if line.startswith(("SCAN items", "SEARCH items"))]
    assert read
    return [line for line in read if line.startswith("SCAN") and "ix_items_" not in line]
