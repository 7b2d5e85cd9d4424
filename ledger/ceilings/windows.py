"""The calendar windows of ceilings: their names, and when each begins."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from tierqueue.router.policy.duration import SECOND_US


def window_start(window: str, timezone: str, now: int) -> str:
    """The name of the calendar window that contains ``now``, such as ``2026-11-20``.

    Hours are named in UTC, so that the repeated hour of a clock change is two windows; days,
    weeks (from Monday) and months begin at midnight of ``timezone``.
    """
    if window == "total":
        return "all"
    return _window_of_minute(window, timezone, now // 60_000_000)


@lru_cache(maxsize=1024)
def _window_of_minute(window: str, timezone: str, minute: int) -> str:
    at = datetime.fromtimestamp(minute * 60, UTC)
    if window == "hour":
        return at.strftime("%Y-%m-%dT%HZ")
    day = at.astimezone(ZoneInfo(timezone)).date()
    if window == "week":
        day -= timedelta(days=day.weekday())
    elif window == "month":
        day = day.replace(day=1)
    elif window != "day":
        raise ValueError(f"no such window: {window}")
    return day.isoformat()


def begin_of(window: str, timezone: str, start: str) -> int:
    """When the window named ``start`` begins, in epoch microseconds; ``total`` never does."""
    if window == "hour":
        at = datetime.strptime(start, "%Y-%m-%dT%HZ").replace(tzinfo=UTC)
    else:
        at = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(timezone))
    return round(at.timestamp() * SECOND_US)
