"""A query against somebody else's database changes nothing and gives no password away."""

import pytest

from tierqueue.ledger.operations import foreign_query
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import InvalidItem


def asked(ledger: Ledger, statement: str) -> list[tuple[object, ...]]:
    url = ledger.engine.url.render_as_string(hide_password=False)
    return [(tuple(names), *values) for names, values in foreign_query.rows(url, statement)]


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
            list(foreign_query.rows(url, "SELECT 1"))
        assert "hunter2" not in said.value.message
