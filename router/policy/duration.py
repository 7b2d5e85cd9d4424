"""Units of time, and durations as people write them: ``30s``, ``5m``, ``24h``, ``7d``."""

import re
from datetime import UTC, datetime

SECOND_US = 1_000_000
MINUTE_US, HOUR_US, DAY_US = 60 * SECOND_US, 3_600 * SECOND_US, 86_400 * SECOND_US
"""Microseconds, which every time in the ledger counts."""

LONGEST = 100 * 366 * 86_400 * SECOND_US
"""The most microseconds that are believed: what is longer is a slip of the finger."""

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"^(?P<count>[0-9]{1,40})(?P<unit>[smhd])$")


def microseconds(seconds: float) -> int:
    """Seconds in the ledger's microseconds."""
    return round(seconds * SECOND_US)


def utc(at: int) -> datetime:
    """A time of the ledger (epoch microseconds) as a date and time."""
    return datetime.fromtimestamp(at / SECOND_US, UTC)


def parse_duration(text: str) -> int:
    """A whole number and its unit, as microseconds, 100 years at the most; raises
    ``ValueError`` for anything else.
    """
    match = _DURATION.match(text) if isinstance(text, str) else None
    if match is None or not int(match["count"]):
        raise ValueError(f"{text!r} is not a duration: write it like 30s, 5m, 24h or 7d")
    microseconds = int(match["count"]) * _SECONDS[match["unit"]] * SECOND_US
    if microseconds > LONGEST:
        raise ValueError(f"{text!r} is longer than 100 years")
    return microseconds
