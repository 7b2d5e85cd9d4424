"""Items that wait for a person, and those whose time runs out."""

from collections.abc import Iterator

from tierqueue.router.policy.duration import HOUR_US
from tierqueue.tasks.findings.finding import Facts, Finding
from tierqueue.tasks.plural import count

SOON_US = HOUR_US
"""Microseconds: somebody must decide in so long, or an item dies."""


def findings(facts: Facts) -> Iterator[Finding]:
    """One finding; wrong where an item dies within the hour unless somebody decides."""
    waiting = facts.reviews
    if waiting is None or waiting.first_due is None:
        return
    minutes = max(0, waiting.first_due - facts.now) // 60_000_000
    first = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
    yield Finding(
        code="review",
        wrong=bool(waiting.soon),
        what=f"{count(waiting.items, 'item')} wait for a person's decision"
        if waiting.items > 1
        else "1 item waits for a person's decision",
        meanwhile=f"the first dies of its deadline in {first}",
        do="tierqueue review list",
        detail={
            "items": waiting.items,
            "within_an_hour_items": waiting.soon,
            "first_due_epoch_us": waiting.first_due,
        },
    )
