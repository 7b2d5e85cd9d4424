"""A job's errors in groups: rows that failed of one reason, in words that differ in names alone."""

import re
from dataclasses import dataclass, field
from hashlib import sha256

from tierqueue.ledger.operations import dead_letters, job_rows
from tierqueue.ledger.session import Ledger

_PAGE = 500

_MOST = 50
"""Groups that are told apart; of more, those that come later are one group a reason."""

_OTHERS = "other errors"

_VARIES = re.compile(
    r"(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22})|(?P<name>'[^']*'|\"[^\"]*\")|(?P<number>\d[\d,.]*)"
)


@dataclass(slots=True)
class ErrorGroup:
    """Rows that failed alike. ``cost``: nano-dollars that their own items have cost so far;
    ``bound``: the most that one more call for each of ``items`` can cost.

    ``items``: those that have a way back, each once; ``example``: the first row's number from 0,
    its item and what was said of it.
    """

    reason: str
    kind: str
    example: tuple[int, str, str]
    rows: int = 0
    cost: int = 0
    bound: int = 0
    items: dict[str, int] = field(default_factory=dict)

    def some(self, count: int) -> tuple[list[str], int]:
        """``count`` of its items, drawn the same way each time, and the most that they can cost."""
        drawn = sorted(self.items, key=lambda item: sha256(item.encode()).digest())[:count]
        return drawn, sum(self.items[item] for item in drawn)


def kind_of(message: str) -> str:
    """A message without what is one row's own: ids, quoted names and numbers."""
    said = _VARIES.sub(
        lambda found: {"id": "ID", "name": "…"}.get(found.lastgroup or "", "N"), message
    )
    return said[:200]


def groups(ledger: Ledger, job_id: str) -> list[ErrorGroup]:
    """The groups of a job's failed rows, the one with most rows first."""
    found: dict[tuple[str, str], ErrorGroup] = {}
    after = -1
    while True:
        with ledger.read() as connection:
            page = job_rows.dead(connection, job_id, after, _PAGE)
            gone = dead_letters.beyond_replay(connection, [row.id for row in page])
        for row in page:
            message = str((row.error or {}).get("message", "erased"))
            key = (row.reason or "", kind_of(message))
            if key not in found and len(found) >= _MOST:
                key = (row.reason or "", _OTHERS)
            example = (row.number, row.id, message)
            group = found.setdefault(key, ErrorGroup(*key, example))
            group.rows += 1
            group.cost += row.spent if row.fingerprint is not None else 0
            back = row.erased_at is None and row.id not in gone
            back = back and row.reason not in dead_letters.NO_WAY_BACK
            if back and row.id not in group.items:
                group.items[row.id] = row.bound or 0
                group.bound += row.bound or 0
        if len(page) < _PAGE:
            return sorted(found.values(), key=lambda group: -group.rows)
        after = page[-1].number
