"""Messages nobody could read keep every byte."""

from tierqueue.ledger.operations import raw_messages
from tierqueue.ledger.session import Ledger


def test_a_message_is_kept_byte_by_byte(ledger: Ledger) -> None:
    body = bytes(range(256))
    with ledger.write() as connection:
        kept = raw_messages.keep(
            connection, queue="route", body=body, headers={"task": None}, error="not JSON"
        )
    with ledger.read() as connection:
        [row] = raw_messages.starting(connection, kept, 2)
        [listed] = raw_messages.newest(connection, 10)
    assert (listed.id, listed.bytes) == (kept, 256)
    assert (row.id, row.queue, row.body) == (kept, "route", body)
    assert (row.headers, row.error) == ({"task": None}, "not JSON")
