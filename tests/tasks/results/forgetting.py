"""What befalls a broker, and what the routing stage then does about it."""

from typing import Any

from sqlalchemy import text

from tests.tasks.producer import Producer


def flush(valkey: Any) -> None:
    """The broker forgets everything."""
    client = valkey.client()
    client.flushall()
    client.close()


def a_while_ago(producer: Producer) -> None:
    """What has ended and was told, ended and was told five seconds earlier."""
    with producer.ledger.write() as connection:
        connection.execute(text("UPDATE items SET ended_at = ended_at - 5000000"))
        connection.execute(text("UPDATE promises SET kept_at = kept_at - 5000000"))


def shifted(producer: Producer, table: str, column: str, seconds: int) -> None:
    """Moved in time, so that how long the test itself takes decides nothing."""
    with producer.ledger.write() as connection:
        moved = text(f"UPDATE {table} SET {column} = {column} + {seconds * 1_000_000}")
        connection.execute(moved)


def mend(producer: Producer) -> None:
    """The routing stage's tick notices the loss, and a round later tells everything again."""
    upkeep = producer.upkeep()
    upkeep.round()
    upkeep.round()


def depth(producer: Producer, queue: str) -> int:
    """How many messages lie on a queue."""
    return int(producer.app.backend.client.llen(queue))
