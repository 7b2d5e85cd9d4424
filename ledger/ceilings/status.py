"""Ceilings as they stand: what is spent and held of each in its present window."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from tierqueue.ledger.bulk import among
from tierqueue.ledger.ceilings.balance import Balance
from tierqueue.ledger.ceilings.books import window_start
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import balances, ceiling_warnings, ceilings

_WARNED = (
    select(ceiling_warnings)
    .where(among(ceiling_warnings.c.balance_id))
    .order_by(ceiling_warnings.c.at, ceiling_warnings.c.what)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingStatus:
    """A ceiling in its present window, in nano-dollars; ``name`` ``*`` where nobody spent yet.

    ``warnings``: what was warned of since the limit stands as it does.
    """

    scope: str
    name: str
    window: str
    start: str
    limit: int
    spent: int
    held: int
    set_by: str
    timezone: str = "UTC"
    warnings: tuple[str, ...] = ()

    @property
    def balance_id(self) -> str:
        """The id of its row in the present window, once there is one."""
        return Balance(self.scope, self.name, self.window, self.start).id

    @property
    def share(self) -> float:
        """How much of the limit is spent; infinite where nothing may be spent and something is."""
        if not self.limit:
            return float("inf") if self.spent else 0.0
        return self.spent / self.limit


def ceiling_statuses(connection: Transaction, now: int) -> list[CeilingStatus]:
    """Every ceiling as it stands ``now`` (epoch microseconds); one for each name seen under
    a ``*`` that no ceiling of its own covers.
    """
    rules = connection.execute(select(ceilings).order_by(*ceilings.primary_key)).all()
    exact = {(rule.scope, rule.name, rule.window) for rule in rules}
    starts = {window_start(rule.window, rule.timezone, now) for rule in rules}
    present = select(balances).where(balances.c.start.in_(sorted(starts)))
    rows: dict[tuple[str, str, str], list[Any]] = {}
    for row in connection.execute(present.order_by(balances.c.name)):
        rows.setdefault((row.scope, row.window, row.start), []).append(row)
    ids = [row.id for group in rows.values() for row in group]
    warned: dict[tuple[str, int], list[str]] = {}
    for row in connection.execute(_WARNED, {"ids": ids}):
        warned.setdefault((row.balance_id, row.limit), []).append(row.what)
    found: list[CeilingStatus] = []
    for rule in rules:
        start = window_start(rule.window, rule.timezone, now)
        under = [
            (row.name, row.spent, row.held, tuple(warned.get((row.id, rule.limit), ())))
            for row in rows.get((rule.scope, rule.window, start), ())
            if row.name == rule.name
            or (rule.name == "*" and (rule.scope, row.name, rule.window) not in exact)
        ]
        for name, spent, held, warnings in under or [(rule.name, 0, 0, ())]:
            found.append(
                CeilingStatus(
                    scope=rule.scope,
                    name=name,
                    window=rule.window,
                    start=start,
                    limit=rule.limit,
                    spent=spent,
                    held=held,
                    set_by=rule.set_by,
                    timezone=rule.timezone,
                    warnings=warnings,
                )
            )
    return found
