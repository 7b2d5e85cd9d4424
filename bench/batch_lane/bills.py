"""The bills of a batch run: the sandbox's books beside the ledger's charges, item by item."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import attempts


def billed(lines: Sequence[dict[str, Any]]) -> Counter[str]:
    """How often each item was billed, by the sandbox's books."""
    found: Counter[str] = Counter()
    for line in lines:
        if line["cost_nanousd"] and line["item"]:
            found[line["item"].rpartition("-")[0] if line["batch"] else line["item"]] += 1
    return found


def booked(ledger: Ledger) -> Counter[str]:
    """For how many calls each item was charged, by the ledger."""
    with ledger.read() as connection:
        rows = connection.execute(select(attempts.c.item_id).where(attempts.c.cost > 0)).scalars()
        return Counter(rows)
