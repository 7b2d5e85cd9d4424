"""Messages nobody could read keep every byte."""

from tierqueue.ledger.operations import raw_messages
from tierqueue.ledger.session import Ledger


def test_a_message_is_kept_byte_by_byte(ledger: Ledger) -> None:
    body = bytes(range(256))
    with ledger.write() as connection:
        kept = raw_messages.store(
            connection, queue="route", body=body, headers={"task": None}, error="not JSON"
        )
    with ledger.read() as connection:
        [row] = raw_messages.starting(connection, kept, 2)
        [listed] = raw_messages.newest(connection, 10)
        bytes_kept = raw_messages.body_of(connection, kept)
    assert listed == row
    assert (row.id, row.queue, row.size, bytes_kept) == (kept, "route", 256, body)
    assert (row.headers, row.error) == ({"task": None}, "not JSON")
