"""A ceiling in one of its windows, in parts, and as people write it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, select

from tierqueue.ledger.bulk import among
from tierqueue.ledger.tables import balances

_PARTS = select(
    balances.c.id, balances.c.scope, balances.c.name, balances.c.window, balances.c.start
).where(among(balances.c.id))


class WindowedCeiling(Protocol):
    """A ceiling: over which scope, which name of it, in which calendar window."""

    @property
    def scope(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def window(self) -> str: ...


@dataclass(frozen=True, slots=True, order=True)
class Balance:
    """What one ceiling has in one window, which begins at ``start``."""

    scope: str
    name: str
    window: str
    start: str

    @property
    def id(self) -> str:
        """The id of its row."""
        return f"{self.scope}:{self.name}:{self.window}:{self.start}"


def by_id(connection: Connection, ids: Iterable[str]) -> dict[str, Balance]:
    """Those of these balances that there are."""
    rows = connection.execute(_PARTS, {"ids": sorted(ids)})
    return {row.id: Balance(row.scope, row.name, row.window, row.start) for row in rows}


def label(ceiling: WindowedCeiling) -> str:
    """A ceiling as people write it, such as ``budget:acme day``."""
    whole = ceiling.scope if ceiling.name == "*" else f"{ceiling.scope}:{ceiling.name}"
    return f"{whole} {ceiling.window}"
