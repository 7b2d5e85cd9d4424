"""Operators' changes of ceilings, and the record of them: who, when, from what, to what."""

from typing import NamedTuple

from sqlalchemy import select

from tierqueue.ledger import audit_log, tables
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.ceilings.balance import label
from tierqueue.ledger.ceilings.ceiling import CEILING, Ceiling
from tierqueue.ledger.literals import is_in
from tierqueue.ledger.operations.dead_letters import replay
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import CostCeilingExceeded, InvalidItem
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.tables import CeilingRule

_NOT_PEOPLE = ("policy", "job")
"""Who else sets ceilings: what the policy set, the policy may change again."""


class CeilingChange(NamedTuple):
    """Who changed which ceiling, when, from what to what."""

    id: int
    """One higher for each."""
    at: int
    """Epoch microseconds."""
    by: str
    """Who: a person, ``policy`` or ``job``."""
    scope: str
    """What it is over (``budget``)."""
    name: str
    """Which of them; ``*`` is each."""
    window: str
    """Over which time (``day``)."""
    before: NanoUSD | None
    """Nano-dollars; ``None``: there was none."""
    after: NanoUSD
    """Nano-dollars."""


_CHANGE = tuple(tables.ceiling_changes.c[name] for name in CeilingChange._fields)


def in_force(connection: Transaction, scope: str, name: str, window: str) -> Ceiling | None:
    """The ceiling over ``name``, locked: its own, else the one over each name (``*``)."""
    found = tables.ceilings.c
    asked = (
        select(*CEILING)
        .where(found.scope == scope, found.name.in_((name, "*")), found.window == window)
        .order_by(found.name)
        .with_for_update()
    )
    set_now = {ceiling.name: ceiling for ceiling in map(Ceiling._make, connection.execute(asked))}
    return set_now.get(name, set_now.get("*"))


def change(connection: Transaction, rule: CeilingRule, by: str) -> int | None:
    """Set ``rule`` over whatever the policy says; returns the limit before, if it had one.

    Raises ``InvalidItem`` where ``by`` is a name that would let the policy change it back.
    """
    if by in _NOT_PEOPLE:
        raise InvalidItem(f"{by!r} stands for no person in the record: say who with --by")
    before = in_force(connection, rule.scope, rule.name, rule.window)
    if before is not None and before.name == rule.name and before.timezone != rule.timezone:
        said = {"ceiling": label(rule), "from": before.timezone, "to": rule.timezone}
        audit_log.note(connection, by=by, what="time zone of a ceiling", detail=said)
    former = None if before is None else before.limit
    return books.put(connection, rule, by=by, now=database_now(connection), former=former)


def history(
    connection: Transaction, scope: str | None, name: str | None, limit: int
) -> list[CeilingChange]:
    """The last changes of all ceilings, or of those of ``scope`` and ``name``, newest first."""
    column = tables.ceiling_changes.c
    found = select(*_CHANGE)
    if scope is not None:
        found = found.where(column.scope == scope)
    if name is not None:
        found = found.where(column.name == name)
    newest_first = found.order_by(column.id.desc()).limit(limit)
    return [CeilingChange._make(row) for row in connection.execute(newest_first)]


def stopped_by(connection: Transaction, scope: str, name: str, window: str) -> list[str]:
    """Ids of the dead letters that this ceiling ended; ``name`` ``*``: that any name of it did."""
    ended_by = tables.items.c.error["fields"]["ceiling"].as_string()
    balance = tables.balances.c
    found = (
        select(tables.items.c.id)
        .join(tables.balances, balance.id == ended_by)
        .where(
            is_in(State.DEAD),
            tables.items.c.reason == CostCeilingExceeded.reason,
            balance.scope == scope,
            balance.window == window,
        )
        .order_by(tables.items.c.id)
    )
    if name != "*":
        found = found.where(balance.name == name)
    return list(connection.execute(found).scalars())


def replay_stopped_by(connection: Transaction, rule: CeilingRule, by: str) -> list[str]:
    """Submit every dead letter that this ceiling ended again; returns their ids.

    Claims that began under the former limit are waited for, so that what they end is found too.
    """
    books.await_claims(connection, rule, database_now(connection))
    return replay(connection, stopped_by(connection, rule.scope, rule.name, rule.window), by)
