"""Surrogates and rules in service: what their audits say of them, and which were switched off."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from tierqueue.ledger import audit_log
from tierqueue.ledger.bulk import among, upsert
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items, surrogate_audits, surrogates_off
from tierqueue.router.errors import InvalidItem
from tierqueue.router.lifecycle import ENDS, State

WINDOW = 500
"""The last audits by which a version is judged."""

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Audit:
    """An item that somebody below the tiers would have answered and a model answers; ``answer``
    names what it would have said, by a hash. ``None``: it is asked under another prompt, and not
    compared.
    """

    item_id: str
    task: str
    version: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """How many of a version's last audits were compared, and how many of them differed."""

    compared: int
    differed: int


@dataclass(frozen=True, slots=True)
class SwitchOff:
    """A surrogate or rules that were switched off; ``at`` in epoch microseconds."""

    version: str
    task: str
    at: int
    record: Record


def audit(connection: Connection, audits: Sequence[Audit], at: int) -> None:
    """Write down what is to be compared; an item is audited once."""
    for one in audits:
        row = {"item_id": one.item_id, "task": one.task, "version": one.version}
        new = upsert(connection, surrogate_audits).values(**row, answer=one.answer, at=at)
        connection.execute(new.on_conflict_do_nothing())


_ENDED = (
    select(
        surrogate_audits.c.item_id,
        surrogate_audits.c.version,
        surrogate_audits.c.answer,
        items.c.state,
        items.c.output,
    )
    .join(items, items.c.id == surrogate_audits.c.item_id)
    .where(
        surrogate_audits.c.answer.is_not(None),
        items.c.state.in_([state.value for state in ENDS]),
    )
    .order_by(surrogate_audits.c.item_id)
    .limit(_AT_ONCE)
    .with_for_update(skip_locked=True, of=surrogate_audits)
)
_COMPARED = (
    update(surrogate_audits)
    .where(surrogate_audits.c.item_id == bindparam("b_id"))
    .values(agreed=bindparam("b_agreed"), answer=None)
)
_SAYS_NOTHING = (
    update(surrogate_audits).where(among(surrogate_audits.c.item_id)).values(answer=None)
)
_LAST = (
    select(surrogate_audits.c.agreed)
    .where(
        surrogate_audits.c.version == bindparam("b_version"),
        surrogate_audits.c.agreed.is_not(None),
    )
    .order_by(surrogate_audits.c.at.desc())
    .limit(WINDOW)
)


def compare(connection: Connection, agrees: Callable[[str, Any], bool | None]) -> dict[str, Record]:
    """Compare audits whose items have ended; returns the records of the versions concerned.

    ``agrees`` says whether an item's output is what the audit names; where it is neither that nor
    another (a dead letter, an erased answer) it says nothing of the version.
    """
    silent: list[str] = []
    compared: list[dict[str, Any]] = []
    versions: set[str] = set()
    for row in connection.execute(_ENDED):
        agreed = agrees(row.answer, row.output) if row.state == State.SUCCEEDED else None
        if agreed is None:
            silent.append(row.item_id)
            continue
        compared.append({"b_id": row.item_id, "b_agreed": agreed})
        versions.add(row.version)
    if silent:
        connection.execute(_SAYS_NOTHING, {"ids": silent})
    if compared:
        connection.execute(_COMPARED, compared)
    return {version: record(connection, version) for version in sorted(versions)}


def record(connection: Connection, version: str) -> Record:
    """A version's record over its last audits."""
    agreed = connection.execute(_LAST, {"b_version": version}).scalars().all()
    return Record(len(agreed), sum(not one for one in agreed))


def switch_off(connection: Connection, off: SwitchOff) -> bool:
    """Take a version out of service for good; returns whether it was in service before."""
    row = {"version": off.version, "task": off.task, "at": off.at}
    counted = {"compared": off.record.compared, "differed": off.record.differed}
    new = upsert(connection, surrogates_off).values(**row, **counted)
    return connection.execute(new.on_conflict_do_nothing()).rowcount == 1


def retire(connection: Connection, version: str, task: str, by: str) -> bool:
    """Take a version out of service until somebody promotes it; false where it is out."""
    off = SwitchOff(version, task, database_now(connection), Record(0, 0))
    changed = switch_off(connection, off)
    if changed:
        audit_log.note(
            connection, by=by, what=f"retire {_kind(version)}", detail={"version": version}
        )
    return changed


def promote(connection: Connection, version: str, by: str) -> bool:
    """Put a version back that somebody retired; false where it is in service.

    Raises ``InvalidItem`` for one that its audits switched off.
    """
    retired = (surrogates_off.c.version == version, surrogates_off.c.compared == 0)
    if connection.execute(delete(surrogates_off).where(*retired)).rowcount:
        audit_log.note(
            connection, by=by, what=f"promote {_kind(version)}", detail={"version": version}
        )
        return True
    if switched_off(connection, [version]):
        raise InvalidItem(f"{version} stays off: its audits switched it off; make another one")
    return False


def switched_off(connection: Connection, versions: Collection[str]) -> list[SwitchOff]:
    """Those of these versions that are out of service."""
    if not versions:
        return []
    found = select(surrogates_off).where(among(surrogates_off.c.version))
    rows = connection.execute(found, {"ids": sorted(versions)})
    return [
        SwitchOff(row.version, row.task, row.at, Record(row.compared, row.differed)) for row in rows
    ]


def _kind(version: str) -> str:
    """What a version is of, as it begins: a surrogate or a rule."""
    return version.partition("-")[0]
