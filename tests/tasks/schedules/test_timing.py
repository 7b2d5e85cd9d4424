"""When a schedule is due: on clocks that are put forward and back, and at intervals."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.schedules.timing import Timing, timing

SECOND = 1_000_000
BERLIN = "Europe/Berlin"


def at(text: str) -> int:
    """A time with its offset as epoch microseconds."""
    return round(datetime.fromisoformat(text).timestamp()) * SECOND


def due(cron: str, zone: str, after: str, count: int) -> list[str]:
    """The next times after one, on the zone's clock."""
    when, moment, told = timing(cron, None, zone, 0), at(after), []
    for _ in range(count):
        moment = when.next(moment)
        told.append(datetime.fromtimestamp(moment / SECOND, ZoneInfo(zone)).strftime("%d %H:%M%z"))
    return told


def test_a_time_of_day_is_that_of_its_zone_in_summer_and_in_winter() -> None:
    assert due("30 7 * * *", BERLIN, "2026-03-27T12:00+00:00", 3) == [
        "28 07:30+0100",
        "29 07:30+0200",
        "30 07:30+0200",
    ]


def test_a_time_that_the_clock_leaves_out_comes_as_much_later() -> None:
    assert due("30 2 * * *", BERLIN, "2026-03-28T12:00+00:00", 2) == [
        "29 03:30+0200",
        "30 02:30+0200",
    ]


def test_a_time_that_the_clock_shows_twice_comes_once() -> None:
    assert due("30 2 * * *", BERLIN, "2026-10-24T12:00+00:00", 2) == [
        "25 02:30+0200",
        "26 02:30+0100",
    ]


def test_what_names_no_hour_goes_on_through_both() -> None:
    assert due("*/30 * * * *", BERLIN, "2026-10-24T23:45+00:00", 5) == [
        "25 02:00+0200",
        "25 02:30+0200",
        "25 02:00+0100",
        "25 02:30+0100",
        "25 03:00+0100",
    ]
    assert due("30 * * * *", BERLIN, "2026-03-29T00:00+00:00", 2) == [
        "29 01:30+0100",
        "29 03:30+0200",
    ]


def test_of_two_kinds_of_day_either_is_enough() -> None:
    assert due("0 0 13 * fri", "UTC", "2026-11-01T00:00+00:00", 3) == [
        "06 00:00+0000",
        "13 00:00+0000",
        "20 00:00+0000",
    ]


def test_a_leap_day_is_found_however_far_it_is() -> None:
    when = timing("0 0 29 2 *", None, "UTC", at("2096-03-01T00:00+00:00"))
    assert when.next(at("2096-03-01T00:00+00:00")) == at("2104-02-29T00:00+00:00")


def test_an_interval_counts_from_its_beginning() -> None:
    when = timing(None, "15m", "UTC", 100 * SECOND)
    assert when.next(100 * SECOND) == 1_000 * SECOND
    assert when.next(999 * SECOND) == 1_000 * SECOND
    assert when.next(1_000 * SECOND) == 1_900 * SECOND
    assert when.last(1_000 * SECOND, 4_000 * SECOND) == 3_700 * SECOND


LINES = ["*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15 1,2,3 * * sun", "0 3 13 * fri", "5 * * * *"]


@given(
    cron=st.sampled_from(LINES),
    zone=st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe"]),
    begin=st.integers(at("2026-03-01T00:00+00:00"), at("2026-12-01T00:00+00:00")),
    days=st.integers(0, 40),
)
def test_the_last_time_is_the_one_before_the_next(
    cron: str, zone: str, begin: int, days: int
) -> None:
    when = Timing(cron, None, zone, begin)
    first = when.next(begin)
    now = first + days * 86_400 * SECOND
    last = when.last(first, now)
    assert first <= last <= now
    assert when.next(last) > now
    assert last == first or when.next(last - 1) == last


@pytest.mark.parametrize(
    ("cron", "every", "zone", "said"),
    [
        (None, None, "UTC", "say when"),
        ("0 2 * * *", "15m", "UTC", "say when"),
        ("0 2 * *", None, "UTC", "five fields"),
        ("0 25 * * *", None, "UTC", "its hour '25'"),
        ("*/0 * * * *", None, "UTC", "its minute"),
        ("0 0 * * mondy", None, "UTC", "its day of week"),
        ("0 0 31 2 *", None, "UTC", "no such date"),
        (None, "15", "UTC", "15"),
        (None, "1s", "UTC", "between 10s and 366d"),
        ("0 2 * * *", None, "Europe/Berln", "Europe/Berlin"),
    ],
)
def test_what_is_no_time_is_refused_and_told_why(
    cron: str | None, every: str | None, zone: str, said: str
) -> None:
    with pytest.raises(InvalidItem, match=said):
        timing(cron, every, zone, at(datetime.now(UTC).isoformat()))
