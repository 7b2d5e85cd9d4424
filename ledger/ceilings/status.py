"""Ceilings as they stand: what is spent and held of each in its present window."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select

from tierqueue.ledger.bulk import among
from tierqueue.ledger.ceilings.balance import Balance
from tierqueue.ledger.ceilings.ceiling import CEILING, Ceiling
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import balances, ceiling_warnings, ceilings
from tierqueue.router.money import NanoUSD


class _WindowBalance(NamedTuple):
    """What was spent and is held in one window."""

    id: str
    """``Balance.id``."""
    scope: str
    """Of what."""
    name: str
    """Which of them."""
    window: str
    """How long it is, in a word."""
    start: str
    """Its name (``windows.window_start``)."""
    spent: NanoUSD
    """Nano-dollars."""
    held: NanoUSD
    """Nano-dollars."""


class _NotedWarning(NamedTuple):
    """A warning that was given."""

    balance_id: str
    """Of which balance."""
    what: str
    """Of what: a share of the limit, or ``burn_rate``."""
    limit: NanoUSD
    """The limit as it was then, in nano-dollars."""


_STATED = select(*CEILING).order_by(*ceilings.primary_key)
_BALANCES = select(*(balances.c[name] for name in _WindowBalance._fields))
_WARNED = (
    select(*(ceiling_warnings.c[name] for name in _NotedWarning._fields))
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
    stated = [Ceiling._make(row) for row in connection.execute(_STATED)]
    exact = {ceiling.key for ceiling in stated}
    starts = {ceiling.start(now) for ceiling in stated}
    inside = _BALANCES.where(balances.c.start.in_(sorted(starts))).order_by(balances.c.name)
    present = [_WindowBalance._make(row) for row in connection.execute(inside)]
    by_window: dict[tuple[str, str, str], list[_WindowBalance]] = {}
    for balance in present:
        key = (balance.scope, balance.window, balance.start)
        by_window.setdefault(key, []).append(balance)
    warned: dict[tuple[str, int], list[str]] = {}
    for row in connection.execute(_WARNED, {"ids": [balance.id for balance in present]}):
        warning = _NotedWarning._make(row)
        warned.setdefault((warning.balance_id, warning.limit), []).append(warning.what)
    found: list[CeilingStatus] = []
    for ceiling in stated:
        start = ceiling.start(now)
        under = [
            (balance.name, balance.spent, balance.held, warned.get((balance.id, ceiling.limit), ()))
            for balance in by_window.get((ceiling.scope, ceiling.window, start), ())
            if balance.name == ceiling.name
            or (ceiling.name == "*" and (ceiling.scope, balance.name, ceiling.window) not in exact)
        ]
        for name, spent, held, warnings in under or [(ceiling.name, NanoUSD(0), NanoUSD(0), ())]:
            found.append(
                CeilingStatus(
                    scope=ceiling.scope,
                    name=name,
                    window=ceiling.window,
                    start=start,
                    limit=ceiling.limit,
                    spent=spent,
                    held=held,
                    set_by=ceiling.set_by,
                    timezone=ceiling.timezone,
                    warnings=tuple(warnings),
                )
            )
    return found
