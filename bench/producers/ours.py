"""Our producer: every ticket is an item of its own, by ``.delay()``, with its own ``.get()``."""

from typing import Any

from bench.producers.loop import produce
from bench.texts.tickets import LABELS, ticket
from tierqueue.tasks import classify


def call(number: int) -> Any:
    """One ticket."""
    return classify.delay(ticket(number), LABELS)


if __name__ == "__main__":
    produce(call)
