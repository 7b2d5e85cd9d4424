"""The calendar windows of ceilings, in any time zone and across changes of its clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.ledger.moves import SECOND
from tierqueue.ledger.ceilings.windows import begin_of, window_start

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
HOUR = 3_600 * SECOND


def _micros(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * SECOND


MOMENTS = st.integers(min_value=_micros(2020, 1, 1), max_value=_micros(2035, 1, 1))


@given(MOMENTS, st.sampled_from(ZONES))
def test_a_day_week_and_month_are_the_calendars_of_their_time_zone(at: int, zone: str) -> None:
    local = datetime.fromtimestamp(at / SECOND, ZoneInfo(zone))
    assert window_start("day", zone, at) == f"{local:%Y-%m-%d}"
    assert window_start("month", zone, at) == f"{local:%Y-%m}-01"
    monday = datetime.fromisoformat(window_start("week", zone, at))
    assert monday.weekday() == 0
    assert timedelta() <= local.replace(tzinfo=None) - monday < timedelta(days=7)
    assert window_start("total", zone, at) == "all"


@given(MOMENTS, st.sampled_from(ZONES), st.integers(min_value=1, max_value=30 * 60))
@example(_micros(2026, 10, 25, 0), "Europe/Berlin", 59)
@example(_micros(2026, 3, 29, 0), "Europe/Berlin", 59)
def test_windows_never_go_back_as_time_goes_on(at: int, zone: str, minutes: int) -> None:
    later = at + minutes * 60 * SECOND
    for window in ("hour", "day", "week", "month"):
        assert window_start(window, zone, at) <= window_start(window, zone, later), window


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 11, 20), 24)]
)
def test_a_day_of_a_clock_change_is_as_long_as_it_is(day: tuple[int, int, int], hours: int) -> None:
    name = f"{day[0]}-{day[1]:02}-{day[2]:02}"
    noon = _micros(*day, 12)
    around = range(noon - 24 * HOUR, noon + 24 * HOUR, HOUR)
    inside = [at for at in around if window_start("day", "Europe/Berlin", at) == name]
    assert len(inside) == hours


def test_the_repeated_hour_of_a_clock_change_is_two_windows() -> None:
    first, second = _micros(2026, 10, 25, 0, 30), _micros(2026, 10, 25, 1, 30)
    berlin = ZoneInfo("Europe/Berlin")
    local = [datetime.fromtimestamp(at / SECOND, berlin).hour for at in (first, second)]
    assert local == [2, 2]
    assert window_start("hour", "Europe/Berlin", first) == "2026-10-25T00Z"
    assert window_start("hour", "Europe/Berlin", second) == "2026-10-25T01Z"


def test_a_window_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="no such window"):
        window_start("fortnight", "UTC", 0)


@given(MOMENTS, st.sampled_from(ZONES))
def test_a_window_begins_with_the_first_second_that_bears_its_name(at: int, zone: str) -> None:
    for window in ("hour", "day", "week", "month"):
        name = window_start(window, zone, at)
        begin = begin_of(window, zone, name)
        assert begin <= at
        assert window_start(window, zone, begin) == name
        assert window_start(window, zone, begin - 60 * SECOND) < name
