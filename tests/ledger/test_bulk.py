"""Many rows in one go: each is written as it says, however much the others say alike."""

from typing import Any, NamedTuple

import pytest
from sqlalchemy import select

from tierqueue.ledger import bulk
from tierqueue.ledger.session import Ledger, unstorable
from tierqueue.ledger.tables import entries
from tierqueue.ledger.tables.job_tables import sink_rows

ALIKE: dict[str, Any] = {
    "job_id": "job",
    "item_id": 'item "\\u0000',
    "key": {"a": [1, None, "\\u0000 Ω"]},
    "turn": 3,
    "written": True,
    "refused": None,
    "pages": None,
}


def own(number: int) -> dict[str, Any]:
    """What a row says for itself: nothing of it as another one does."""
    return {
        "item_id": f"item {number}",
        "key": [number],
        "turn": number,
        "written": number % 2 == 0,
        "refused": None if number % 2 else f"no {number}",
        "pages": [0, number] if number % 2 else None,
    }


def all_rows(ledger: Ledger) -> list[dict[str, Any]]:
    with ledger.read() as connection:
        found = connection.execute(select(sink_rows).order_by(sink_rows.c.number))
        return [dict(row) for row in found.mappings()]


@pytest.mark.parametrize("many", [1, 2, 7, 8, 40])
@pytest.mark.parametrize("differ", [set(), {"key"}, {"turn", "refused"}, set(own(0))])
def test_rows_are_there_as_each_of_them_says(ledger: Ledger, many: int, differ: set[str]) -> None:
    rows = [
        {**ALIKE, **{name: value for name, value in own(number).items() if name in differ}}
        | {"number": number}
        for number in range(many)
    ]
    with ledger.write() as connection:
        bulk.insert_many(connection, sink_rows, rows)
    assert all_rows(ledger) == rows


@pytest.mark.parametrize("many", [1, 7, 8, 40])
@pytest.mark.parametrize("differ", [set(), {"pages"}, set(own(0))])
def test_rows_are_changed_by_their_keys_alone(ledger: Ledger, many: int, differ: set[str]) -> None:
    rows = [{**ALIKE, **own(number), "number": number} for number in range(many + 1)]
    changes = [
        {**ALIKE, **{name: value for name, value in own(number + 2).items() if name in differ}}
        | {"number": number, "turn": 5}
        for number in range(many)
    ]
    with ledger.write() as connection:
        bulk.insert_many(connection, sink_rows, rows)
        keys = ("job_id", "number")
        bulk.prepare_update(ledger.dialect, sink_rows, keys, changes, ("turn",)).write(connection)
    added = [
        {**change, "turn": change["turn"] + row["turn"]}
        for change, row in zip(changes, rows, strict=False)
    ]
    assert all_rows(ledger) == [*added, rows[-1]]


def test_rows_that_say_the_same_are_as_many_as_they_were(ledger: Ledger) -> None:
    entry = {"balance_id": "b", "item_id": "i", "fence": 1, "kind": "hold"}
    with ledger.write() as connection:
        same = [{**entry, "held": 1, "spent": 0, "at": 0}] * 20
        bulk.insert_many(connection, entries, same)
        assert len(connection.execute(select(entries.c.id)).all()) == 20


def test_what_no_database_holds_is_refused_also_where_all_rows_say_it(ledger: Ledger) -> None:
    rows = [{**ALIKE, "number": number, "turn": 2**80} for number in range(20)]
    with pytest.raises(Exception) as caught, ledger.write() as connection:  # noqa: PT011
        bulk.insert_many(connection, sink_rows, rows)
    assert unstorable(caught.value)
    assert all_rows(ledger) == []


NAMES = ["plain", "", " ", "NULL", "{a,b}", 'a "quoted" one', "a\\b", "\\", '"', "Ω\n", "a'b"]


@pytest.mark.parametrize("asked", [[], NAMES[:1], NAMES, NAMES[5:]])
def test_rows_are_found_by_texts_of_whatever_signs(ledger: Ledger, asked: list[str]) -> None:
    entry = {"item_id": "i", "fence": 1, "kind": "hold", "held": 1, "spent": 0, "at": 0}
    found = select(entries.c.balance_id).where(bulk.among(entries.c.balance_id))
    with ledger.write() as connection:
        bulk.insert_many(connection, entries, [{**entry, "balance_id": name} for name in NAMES])
        assert sorted(connection.execute(found, {"ids": asked}).scalars()) == sorted(asked)


def test_a_text_that_no_database_holds_is_refused_where_rows_are_looked_for_by_it(
    postgresql_url: str,
) -> None:
    ledger = Ledger(postgresql_url)
    found = select(entries.c.id).where(bulk.among(entries.c.balance_id))
    with pytest.raises(Exception) as caught, ledger.read() as connection:  # noqa: PT011
        connection.execute(found, {"ids": ["a\x00b"]})
    assert unstorable(caught.value)
    ledger.close()


class Turn(NamedTuple):
    """What changes of a sink's row, by its key."""

    job_id: str
    number: int
    key: Any
    turn: int


@pytest.mark.parametrize("many", [0, 1, 8])
def test_rows_are_changed_by_what_records_of_them_say(ledger: Ledger, many: int) -> None:
    rows = [{**ALIKE, "number": number} for number in range(8)]
    turns = [Turn("job", number, {"n": number}, number + 5) for number in range(many)]
    with ledger.write() as connection:
        bulk.insert_many(connection, sink_rows, rows)
        bulk.update_records(connection, sink_rows, ("job_id", "number"), turns)
    changed = [{**row, **turn._asdict()} for row, turn in zip(rows, turns, strict=False)]
    assert all_rows(ledger) == [*changed, *rows[many:]]
