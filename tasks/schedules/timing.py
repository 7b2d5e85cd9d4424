"""The times of a schedule: a cron line on the clock of a time zone, or an interval.

Fields of a cron line are read by Celery's own parser. A time of day that a clock put forward leaves
out is due as much later as it was put forward; one that a clock put back shows twice is due the
first time, and both times where the line names no hour.
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from celery.schedules import ParseException, crontab_parser

from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.duration import DAY_US, SECOND_US, parse_duration
from tierqueue.router.policy.policy_errors import nearest

_FIELDS = (("minute", 60, 0), ("hour", 24, 0), ("day of month", 31, 1), ("month", 12, 1))
_WORDS = frozenset(
    word.lower()
    for names in (calendar.day_name, calendar.day_abbr, calendar.month_name, calendar.month_abbr)
    for word in names
    if word
)
_DAYS = 9 * 366
"""Days in which every date of a calendar comes: a leap day may be left out once in a century."""

LEAST_US, MOST_US = 10 * SECOND_US, 366 * DAY_US
"""Microseconds of an interval."""


@dataclass(frozen=True, slots=True)
class Timing:
    """``cron`` in ``timezone``, or ``every`` so many microseconds from ``begin`` (epoch µs) on."""

    cron: str | None
    every: int | None
    timezone: str
    begin: int

    def next(self, after: int) -> int:
        """The first moment after ``after`` at which it is due, both epoch microseconds."""
        if self.every is not None:
            return self.begin + (max(0, after - self.begin) // self.every + 1) * self.every
        return next(moment for moment in self._from(after) if moment > after)

    def last(self, due: int, now: int) -> int:
        """Of the moments from ``due`` on, itself one, the last that is not after ``now``."""
        if self.every is not None:
            return due + (now - due) // self.every * self.every
        day = _local(now, self.timezone).date()
        while day > _local(due, self.timezone).date():
            found = [moment for moment in self._on(day) if due < moment <= now]
            if found:
                return found[-1]
            day -= timedelta(days=1)
        return max((moment for moment in self._on(day) if due < moment <= now), default=due)

    def _from(self, after: int) -> Iterator[int]:
        # A day earlier: what a clock put back shows twice may be of the day before.
        first = _local(after, self.timezone).date() - timedelta(days=1)
        for days in range(_DAYS):
            yield from self._on(first + timedelta(days=days))
        raise InvalidItem(f"{self.cron!r} is never due: no such date comes")

    def _on(self, day: date) -> list[int]:
        """When it is due on one day, in order."""
        assert self.cron is not None
        line = _read(self.cron)
        if not line.falls_on(day):
            return []
        zone = ZoneInfo(self.timezone)
        found = set()
        for hour in line.hours:
            for minute in line.minutes:
                at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                there = at.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
                left_out = there != at.replace(tzinfo=None)
                if not (left_out and line.any_hour):
                    found.add(_micros(at))
                if line.any_hour and not left_out:
                    found.add(_micros(at.replace(fold=1)))
        return sorted(found)


def timing(cron: str | None, every: str | None, timezone: str, begin: int) -> Timing:
    """A cron line or an interval as people write them; raises ``InvalidItem`` for what is none."""
    if (cron is None) == (every is None):
        raise InvalidItem("say when: --cron '0 2 * * *', or --every 15m")
    if timezone not in available_timezones():
        near = nearest(timezone, available_timezones())
        raise InvalidItem(f"{timezone!r} is no time zone: write it like Europe/Berlin{near}")
    if every is not None:
        try:
            interval = parse_duration(every)
        except ValueError as error:
            raise InvalidItem(str(error)) from None
        if not LEAST_US <= interval <= MOST_US:
            raise InvalidItem(f"an interval is between 10s and 366d, not {every}")
        return Timing(None, interval, timezone, begin)
    assert cron is not None
    _read(cron)
    made = Timing(cron, None, timezone, begin)
    made.next(begin)
    return made


@dataclass(frozen=True, slots=True)
class _Line:
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_hour: bool
    either: bool
    """Both kinds of day are named: one of them is enough, as cron has it."""

    def falls_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either else of_month and of_week


@lru_cache(maxsize=256)
def _read(cron: str) -> _Line:
    parts = cron.split()
    if len(parts) != len(_FIELDS) + 1:
        raise InvalidItem(
            f"{cron!r} is no cron line: it has five fields (minute, hour, day of month, month, day"
            " of week), such as '0 2 * * mon-fri'"
        )
    fields = [
        _field(cron, part, name, size, first)
        for part, (name, size, first) in zip(parts, (*_FIELDS, ("day of week", 7, 0)), strict=True)
    ]
    minutes, hours, days, months, weekdays = fields
    return _Line(
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=days,
        months=months,
        weekdays=weekdays,
        any_hour=parts[1].startswith("*"),
        either=not parts[2].startswith("*") and not parts[4].startswith("*"),
    )


def _field(cron: str, part: str, name: str, size: int, first: int) -> frozenset[int]:
    for word in re.findall("[a-z]+", part.lower()):
        # Celery's parser reads three letters of a word, whatever follows them.
        if word not in _WORDS:
            raise InvalidItem(
                f"{cron!r} is no cron line: its {name} {part!r}{nearest(word, _WORDS)}"
            )
    try:
        return frozenset(crontab_parser(size, first).parse(part))
    except (ValueError, ParseException) as error:
        raise InvalidItem(f"{cron!r} is no cron line: its {name} {part!r}: {error}") from None


def _local(moment: int, timezone: str) -> datetime:
    return datetime.fromtimestamp(moment / SECOND_US, ZoneInfo(timezone))


def _micros(at: datetime) -> int:
    return round(at.timestamp()) * SECOND_US
