"""Second prompts: instructions that stand in for those of task types, each known by its hash."""

from collections.abc import Mapping

from sqlalchemy import select

from tierqueue.ledger.bulk import upsert
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items, prompts

SYSTEM = (
    select(prompts.c.system)
    .where(prompts.c.version == items.c.prompt)
    .scalar_subquery()
    .label("system")
)
"""A column beside those of ``items``: the instruction that an item is asked under; null where that
is its task type's own.
"""


def store(connection: Transaction, systems: Mapping[str, str], at: int) -> None:
    """Store instructions, by their versions, for whoever calls; ``at`` in epoch microseconds."""
    for version, system in sorted(systems.items()):
        new = upsert(connection, prompts).values(version=version, system=system, at=at)
        connection.execute(new.on_conflict_do_nothing())
