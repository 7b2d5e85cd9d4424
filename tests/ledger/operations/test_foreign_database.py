"""Somebody else's database: a query changes nothing, a table is filled in by key, each row once."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from tierqueue.ledger.operations import foreign_database
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import InvalidItem


def asked(ledger: Ledger, statement: str) -> list[tuple[object, ...]]:
    url = ledger.engine.url.render_as_string(hide_password=False)
    return [(tuple(names), *values) for names, values in foreign_database.rows(url, statement)]


def test_rows_come_with_the_names_of_their_columns(ledger: Ledger) -> None:
    found = asked(ledger, "SELECT 1 AS id, 'a:b 12:30 100% :x' AS text UNION ALL SELECT 2, NULL")
    assert found == [(("id", "text"), 1, "a:b 12:30 100% :x"), (("id", "text"), 2, None)]


@pytest.mark.parametrize(
    "statement", ["DELETE FROM items", "INSERT INTO settings VALUES (1)", "DROP TABLE items"]
)
def test_nothing_can_be_changed(ledger: Ledger, statement: str) -> None:
    with pytest.raises(InvalidItem):
        asked(ledger, statement)
    assert asked(ledger, "SELECT count(*) AS n FROM items") == [(("n",), 0)]


def test_what_cannot_be_asked_is_said_without_the_address(ledger: Ledger) -> None:
    with pytest.raises(InvalidItem, match="the database refused"):
        asked(ledger, "SELECT nothing FROM nowhere")
    for url in ("nonsense", "postgresql://me:hunter2@127.0.0.1:1/x", "oracle://me:hunter2@h/x"):
        with pytest.raises(InvalidItem) as said:
            list(foreign_database.rows(url, "SELECT 1"))
        assert "hunter2" not in said.value.message


@pytest.fixture
def tickets(ledger: Ledger) -> Iterator[str]:
    """The address of a database with a table of two tickets."""
    with ledger.write() as connection:
        connection.execute(
            text("CREATE TABLE tickets (id INTEGER PRIMARY KEY, body TEXT, output TEXT, cost REAL)")
        )
        connection.execute(text("INSERT INTO tickets (id, body) VALUES (1, 'a'), (2, 'b')"))
    yield ledger.engine.url.render_as_string(hide_password=False)
    with ledger.write() as connection:
        connection.execute(text("DROP TABLE tickets"))


def _tickets(ledger: Ledger) -> list[tuple[object, ...]]:
    found = "SELECT id, body, output FROM tickets ORDER BY id"
    with ledger.read() as connection:
        return [tuple(row) for row in connection.execute(text(found))]


def test_rows_are_filled_in_by_their_key_and_the_same_again_changes_nothing(
    ledger: Ledger, tickets: str
) -> None:
    rows = [
        {"id": "1", "output": "x", "cost": 0.5, "tier": "gpu"},
        {"id": 3, "output": {"label": "é"}, "cost": 0, "tier": None},
    ]
    for _ in range(2):
        with foreign_database.filled(tickets, "tickets", "id") as into:
            into.put(rows)
        assert into.left_out == {"tier"}
        assert _tickets(ledger) == [(1, "a", "x"), (2, "b", None), (3, None, '{"label": "é"}')]


def test_a_batch_that_is_refused_is_not_there_by_half(ledger: Ledger, tickets: str) -> None:
    with foreign_database.filled(tickets, "tickets", "id") as into, pytest.raises(InvalidItem):
        into.put([{"id": 1, "output": "x"}, {"id": "none", "output": "y"}])
    assert _tickets(ledger)[0] == (1, "a", None)


@pytest.mark.parametrize(
    ("table", "key", "row", "said"),
    [
        ("nowhere", "id", {}, "no table nowhere"),
        ("tickets", "ids", {}, "did you mean"),
        ("tickets", "body", {}, "body is not unique in tickets"),
        ("tickets", "id", {"id": 1, "label": "x"}, "none of the columns label"),
        ("tickets", "id", {"id": None, "output": "x"}, "has no id"),
    ],
)
def test_a_table_that_cannot_be_filled_says_why(
    tickets: str, table: str, key: str, row: dict[str, object], said: str
) -> None:
    with (
        pytest.raises(InvalidItem, match=said),
        foreign_database.filled(tickets, table, key) as into,
    ):
        into.put([row])


def test_texts_become_what_the_columns_want_and_errors_name_their_kind_alone(
    ledger: Ledger,
) -> None:
    with ledger.write() as connection:
        connection.execute(
            text(
                "CREATE TABLE days (id INTEGER PRIMARY KEY, day DATE, at TIMESTAMP, sure BOOLEAN,"
                " price NUMERIC(9, 2))"
            )
        )
    url = ledger.engine.url.render_as_string(hide_password=False)
    row = {
        "id": "1",
        "day": "2026-03-01",
        "at": "2026-03-01T10:00:00",
        "sure": "true",
        "price": "1.50",
    }
    try:
        with foreign_database.filled(url, "days", "id", 20) as into:
            into.put([row])
            for name in ("day", "at", "sure", "price"):
                with pytest.raises(InvalidItem) as refused:
                    into.put([{"id": "2", name: "a secret"}])
                assert refused.value.fields["row"]
                assert "secret" not in refused.value.fields["kind"]
        with ledger.read() as connection:
            found = connection.execute(text("SELECT day, sure, price FROM days")).one()
        assert (str(found.day), bool(found.sure), float(found.price)) == ("2026-03-01", True, 1.5)
    finally:
        with ledger.write() as connection:
            connection.execute(text("DROP TABLE days"))
