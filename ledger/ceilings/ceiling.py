"""A ceiling as the ledger holds it: over what, in which windows, how much, and set by whom."""

from typing import NamedTuple

from tierqueue.ledger.ceilings.windows import window_start
from tierqueue.ledger.tables import ceilings
from tierqueue.router.money import NanoUSD


class Ceiling(NamedTuple):
    """What may be spent in one window of a scope."""

    scope: str
    """Of what."""
    name: str
    """Which of them; ``*``: each by itself that has no ceiling of its own."""
    window: str
    """How long it is, in a word: ``hour``, ``day``, …"""
    timezone: str
    """Where its days begin."""
    limit: NanoUSD
    """Nano-dollars."""
    set_by: str
    """Who set it."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Its scope, name and window: no two ceilings have the same."""
        return self.scope, self.name, self.window

    def start(self, now: int) -> str:
        """The name of its window that contains ``now`` (epoch microseconds)."""
        return window_start(self.window, self.timezone, now)


CEILING = tuple(ceilings.c[name] for name in Ceiling._fields)
"""The columns that a ``Ceiling`` is made of."""
