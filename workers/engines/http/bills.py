"""Bills: those that can be true, and an estimate for a call that needs none.

What a provider counts is booked as it counts it; what it cannot have counted is no bill. A call
whose bill cannot be read is booked at its hold.
"""

from collections.abc import Mapping
from typing import Any

from tierqueue.router.outcome import Usage
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.http.wire import Unreadable

MOST_TOKENS = 20_000_000
"""Twice the largest context window there is: a count above it is none."""

MOST_BYTES_A_TOKEN = 512
"""No tokenizer has a token this long; runs of spaces are the longest."""

BYTES_A_TOKEN = 4
"""By which an estimate counts."""


def count(holder: Mapping[str, Any], key: str, *, required: bool = False) -> int:
    """The token count at ``key``; a missing or null one is 0, unless it is ``required``.

    Raises ``Unreadable`` for anything that is not a whole number from 0 to ``MOST_TOKENS``.
    """
    value = holder.get(key)
    if value is None and not required:
        return 0
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # The range first: it is false of NaN too, and keeps out what no integer can be made of.
    if value is None or not number or not 0 <= value <= MOST_TOKENS or value != int(value):
        raise Unreadable(f"{key} is not a token count")
    return int(value)


def table(holder: Mapping[str, Any], key: str, *, required: bool = False) -> dict[str, Any]:
    """The object at ``key``; a missing or null one is empty, unless it is ``required``."""
    value = holder.get(key)
    if value is None and not required:
        return {}
    if not isinstance(value, dict):
        raise Unreadable(f"{key} is not an object")
    return value


def beyond(told: Mapping[str, Any], counted: int) -> int:
    """The tokens of a stated total that no class names: output that is billed and not shown.

    Raises ``Unreadable`` where the total is less than its parts.
    """
    if told.get("total_tokens") is None:
        return 0
    more = count(told, "total_tokens") - counted
    if more < 0:
        raise Unreadable("the total is less than its parts")
    return more


def check(usage: Usage, call: Call, text: str) -> None:
    """Raise ``Unreadable`` for a bill that cannot be true of this call and this answer."""
    asked = len((call.system + call.prefix + call.question).encode())
    if usage.total_input * MOST_BYTES_A_TOKEN < asked or not usage.total_input:
        raise Unreadable("fewer input tokens than were sent")
    if usage.output_tokens * MOST_BYTES_A_TOKEN < len(text.encode()):
        raise Unreadable("fewer output tokens than came")


def estimate(call: Call, text: str) -> Usage:
    """The tokens of a call to an endpoint that counts none, labelled as an estimate."""
    asked = len((call.system + call.prefix + call.question).encode())
    return Usage(
        input_tokens=-(-asked // BYTES_A_TOKEN),
        output_tokens=-(-len(text.encode()) // BYTES_A_TOKEN),
        estimated=True,
    )
