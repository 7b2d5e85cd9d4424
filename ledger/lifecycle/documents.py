"""Documents in pieces: an item that waits for the items of its pieces, and ends with their answer.

What joins their answers is the body of a chord of theirs; a chord's last body is the document.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import and_, bindparam, exists, or_, select, update

from tierqueue.ledger.bulk import among, insert_many
from tierqueue.ledger.lifecycle.items import Death, NewItem, die, prepare
from tierqueue.ledger.literals import equals, is_in
from tierqueue.ledger.records import PART, DocumentPart
from tierqueue.ledger.results import chords
from tierqueue.ledger.results.promises import Ending, Ends, Promise, ends_of
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items, promises
from tierqueue.ledger.whole_item import WHOLE_ITEM, WholeItem
from tierqueue.router.errors import InvalidItem
from tierqueue.router.lifecycle import ENDS, State, Wait
from tierqueue.router.policy.duration import MINUTE_US

AGAIN_US = MINUTE_US
"""Microseconds after which a document that waits is looked at, whatever was lost meanwhile."""

_WAITS = (
    is_in(State.WAITING),
    equals(items.c.reason, Wait.PIECES),
)
_DUE = (
    select(items.c.id)
    .where(*_WAITS, items.c.ready_at <= bindparam("now"))
    .order_by(items.c.ready_at, items.c.id)
    .limit(bindparam("most"))
)

_SHARED = (
    *("risk", "sensitivity", "inherits", "latency", "deadline", "floor", "fallback", "budget"),
    *("priority", "metadata", "job_id", "pinned", "fresh"),
)
"""What a part has from its document, which nobody routes: as it was stated."""

Document = WholeItem | NewItem
"""A document's item, in the ledger or not yet."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The items of a document's pieces, what each promises, and how many parts each chord has.

    ``spans``: where each piece begins and ends, in characters of the document; ``joined``: the
    pieces, from one to before another, of each item that joins answers.
    """

    parts: Sequence[NewItem]
    promises: Sequence[Promise]
    chords: Mapping[str, int]
    spans: Sequence[tuple[int, int]]
    joined: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class DocumentEnd:
    """A document's end: its answer and receipt, or its death; ``spent`` by its parts, and
    ``bound`` of those that would be asked again, in nano-dollars.
    """

    answer: tuple[Mapping[str, Any], Mapping[str, Any]] | None
    death: Death | None
    spent: int
    bound: int | None
    tier: str | None
    deployment: str | None


def due(connection: Transaction, now: int, most: int) -> list[str]:
    """Up to ``most`` documents that are to be cut, or whose parts may have ended."""
    return list(connection.execute(_DUE, {"now": now, "most": most}).scalars())


def take(connection: Transaction, document: str, now: int, until: int) -> bool:
    """Leave a document that is due ``now`` to the caller ``until`` then (epoch µs), or until
    something of it ends. False: another stage has it, or it is not due any more.
    """
    of = (items.c.id == document, *_WAITS, items.c.ready_at <= now)
    return connection.execute(update(items).where(*of).values(ready_at=until)).rowcount > 0


def goes_on(connection: Transaction, document: str) -> bool:
    """Whether a part of the document has not ended."""
    ended = items.c.state.in_([state.value for state in ENDS])
    part = exists().where(items.c.part_of == document, ~ended)
    return bool(connection.execute(select(part)).scalar())


def waiting(connection: Transaction, document: str, *, lock: bool = False) -> WholeItem | None:
    """The document, ``None`` where it does not wait any more."""
    found = select(*WHOLE_ITEM).where(items.c.id == document, *_WAITS)
    if lock:
        found = found.with_for_update(skip_locked=True)
    row = connection.execute(found).first()
    return None if row is None else WholeItem.from_row(row)


def soon(connection: Transaction, document: str) -> None:
    """Something of the document has ended: it is looked at now."""
    known = update(items).where(items.c.id == document, *_WAITS)
    connection.execute(known.values(ready_at=0))


def rest(connection: Transaction, document: str, taken_until: int, at: int) -> None:
    """Nothing is to be done before ``at`` (epoch µs) for a document that the caller took until
    ``taken_until``, unless something of it has ended since.
    """
    taken = (items.c.id == document, *_WAITS, items.c.ready_at == taken_until)
    connection.execute(update(items).where(*taken).values(ready_at=at))


def as_one(connection: Transaction, document: str) -> None:
    """The document is one item, and goes its way as any other."""
    values = {"state": State.SUBMITTED.value, "reason": None, "split": None}
    connection.execute(update(items).where(items.c.id == document, *_WAITS).values(**values))


def shared(document: Document, new: NewItem, span: tuple[int, int], share: int) -> NewItem:
    """A part of the document, which has ``share`` parts: its pieces from one to before another.

    Raises ``InvalidItem`` where nothing of ``max_cost`` is left for it.
    """
    demands = {name: getattr(document, name) for name in _SHARED}
    # What joins inherits from the pieces, and these from the document.
    demands["inherits"] = new.inherits or document.inherits
    if document.max_cost is not None:
        demands["max_cost"] = document.max_cost // share
        if not demands["max_cost"]:
            raise InvalidItem(f"its max_cost is nothing for each of {share} items")
    split = {"from": span[0], "to": span[1]}
    return replace(new, **demands, part_of=document.id, split=split)


def joining(connection: Transaction, new: NewItem, part: Mapping[str, Any]) -> NewItem | None:
    """An item that joins answers, as the part of its document that ``part`` says it is.

    Locks the document; ``None`` where it does not wait any more, and nothing is to be joined.
    """
    found = select(*WHOLE_ITEM).where(items.c.id == part["document"], *_WAITS)
    if (row := connection.execute(found.with_for_update()).first()) is None:
        return None
    return shared(WholeItem.from_row(row), new, (part["from"], part["to"]), part["parts"])


def cut(connection: Transaction, document: WholeItem, made: Cut, now: int, deadline: int) -> None:
    """Commit the parts of a document whose row the caller has locked; from now on it waits.

    ``deadline``: that of the document and all its parts, in epoch microseconds.
    """
    prepare(connection.dialect.name, made.parts, now).write(connection)
    rows = [{**one._asdict(), "made_at": now} for one in made.promises]
    insert_many(connection, promises, rows)
    for group, size in made.chords.items():
        chords.announce(connection, group, size, ours=True)
    split = {**(document.split or {}), "spans": list(made.spans), "joined": list(made.joined)}
    values = {"split": split, "ready_at": now + AGAIN_US, "deadline": deadline}
    connection.execute(update(items).where(items.c.id == document.id).values(**values))


def give_deadline(connection: Transaction, document: str, deadline: int) -> None:
    """A document that was replayed after its deadline has another one (epoch microseconds), and so
    have its parts that nobody has routed yet.
    """
    none = items.c.deadline.is_(None)
    of = or_(
        and_(items.c.id == document, *_WAITS),
        and_(items.c.part_of == document, is_in(State.SUBMITTED)),
    )
    connection.execute(update(items).where(of, none).values(deadline=deadline))


def parts_of(connection: Transaction, document: str) -> list[DocumentPart]:
    """Everything of a document that was submitted so far, in the order of its pieces.

    Without the arguments of each: together they are the whole document.
    """
    found = select(*PART).where(items.c.part_of == document).order_by(items.c.id)
    parts = map(DocumentPart.from_row, connection.execute(found))
    return sorted(parts, key=lambda part: (part.span[1], -part.span[0]))


def with_parts(connection: Transaction, item_ids: Sequence[str]) -> list[str]:
    """These items, and the parts of those that are documents in pieces."""
    found = select(items.c.id).where(among(items.c.part_of))
    parts = connection.execute(found, {"ids": list(item_ids)}).scalars()
    return [*item_ids, *sorted(set(parts) - set(item_ids))]


def refused(connection: Transaction, item_id: str, part: Mapping[str, Any]) -> None:
    """What was to join answers is no item, and died: it is a part of its document all the same."""
    values = {"part_of": part["document"], "split": {"from": part["from"], "to": part["to"]}}
    connection.execute(update(items).where(items.c.id == item_id).values(**values))
    soon(connection, part["document"])


def end(connection: Transaction, document: str, ended: DocumentEnd, now: int) -> Ends:
    """End a document whose row the caller has locked."""
    values: dict[str, Any] = {
        name: getattr(ended, name) for name in ("spent", "bound", "tier", "deployment")
    }
    if ended.death is not None:
        connection.execute(update(items).where(items.c.id == document).values(**values))
        return die(connection, [ended.death], now)
    assert ended.answer is not None
    output, receipt = ended.answer
    values |= {"state": State.SUCCEEDED.value, "reason": None, "ended_at": now}
    values |= {"output": output, "receipt": receipt}
    connection.execute(update(items).where(items.c.id == document).values(**values))
    answer = {"output": output, "receipt": receipt}
    return ends_of(
        connection,
        [Ending(item_id=document, state=State.SUCCEEDED, answer=answer, error=None)],
    )


def replayed_with(connection: Transaction, item_ids: Sequence[str]) -> list[str]:
    """These dead letters, and those that are replayed with them: of a document its parts, of a part
    its document and the other parts. One whose document needs it no more is left out.
    """
    given = {"ids": sorted(set(item_ids))}
    asked = select(items.c.id, items.c.part_of).where(among(items.c.id))
    documents = {row.part_of or row.id for row in connection.execute(asked, given)}
    known = select(items.c.id, items.c.state).where(among(items.c.id))
    found_states = connection.execute(known, {"ids": sorted(documents)})
    states = {row.id: row.state for row in found_states}
    open_ = (State.DEAD, State.WAITING)
    again = sorted(one for one in documents if states.get(one) in open_)
    dead = items.c.state == State.DEAD.value
    of = or_(among(items.c.id), among(items.c.part_of))
    found = select(items.c.id).where(of, dead).order_by(items.c.id)
    return list(connection.execute(found, {"ids": again}).scalars())


def shares(connection: Transaction, dead: Sequence[str], max_cost: int) -> dict[str, int]:
    """What each document in pieces among these locked dead letters, and each part of one, may cost
    where that is ``max_cost`` for a document with all its parts (nano-dollars).

    Raises ``InvalidItem`` where nothing is left for a part, and for a document that has not ended.
    """
    found = select(items.c.id, items.c.part_of, items.c.split).where(among(items.c.id))
    rows = connection.execute(found, {"ids": list(dead)}).all()
    whole = {
        row.id: row.split for row in rows if row.part_of is None and "spans" in (row.split or {})
    }
    for row in rows:
        if row.part_of is not None and row.part_of not in whole:
            raise InvalidItem(
                f"item {row.id} is a part of document {row.part_of}, which has not ended: replay it"
                " without another max_cost, or once the document has ended",
                {"item": row.id, "document": row.part_of},
            )
    costs: dict[str, int] = {}
    for document, split in whole.items():
        parts = parts_of(connection, document)
        count = len(split["spans"]) + len(split["joined"])
        over = [part.spent for part in parts if part.id not in dead]
        equal = max_cost // count
        share = min(equal, (max_cost - sum(over)) // max(count - len(over), 1))
        if share <= 0:
            raise InvalidItem(
                f"document {document}: of this max_cost nothing is left for each of its {count}"
                " items: replay it with a higher one",
                {"item": document},
            )
        # What joins later gets its share of what the document's row says.
        costs[document] = max_cost if share == equal else share * count
        costs.update({part.id: share for part in parts if part.id in dead})
    return costs


def wait_again(connection: Transaction, item_ids: Sequence[str], now: int) -> None:
    """Documents among these replayed items wait for their pieces, or are cut."""
    is_document = (items.c.split.is_not(None), items.c.part_of.is_(None))
    values = {"state": State.WAITING.value, "reason": Wait.PIECES.value, "ready_at": now}
    again = update(items).where(among(items.c.id), *is_document)
    connection.execute(again.values(**values), {"ids": list(item_ids)})
