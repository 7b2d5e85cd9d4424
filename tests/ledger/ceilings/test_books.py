"""Ceilings: which cover a claim, in which window, and who set them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import select

from tests.ledger.moves import SECOND, Moves, ceiling, settlement
from tierqueue.ledger import tables
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.ceilings.books import window_start

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


def test_a_hold_is_settled_in_the_window_it_was_made_in(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 1_000, window="day", timezone="Europe/Berlin"))
    far = moves.now() + 400 * 24 * HOUR
    wanted = moves.ready(2, deadline=far)
    first, second = wanted
    midnight = _micros(2027, 1, 10, 23)
    before = moves.claim({first: 0}, now=midnight - 1).claimed
    after = moves.claim({second: 0}, now=midnight).claimed
    moves.settle(*(settlement(row) for row in (*before, *after)), now=midnight + HOUR)
    assert moves.books() == {
        "everything:*:day:2027-01-10": (0, 70, 100),
        "everything:*:day:2027-01-11": (0, 70, 100),
    }


def test_a_ceiling_of_a_name_stands_in_place_of_the_one_for_each_name(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 100), ceiling("budget", 300, name="acme"))
    assert len(moves.running(3, bound=100, budget="acme")) == 3
    assert len(moves.running(3, bound=100, budget="other")) == 1
    assert len(moves.running(3, bound=100, budget="third")) == 1


def test_a_ceiling_of_a_name_leaves_other_windows_to_the_one_for_each_name(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 150), ceiling("budget", 900, name="acme", window="day"))
    assert len(moves.running(3, bound=100, budget="acme")) == 1


def test_a_name_with_colons_keeps_its_own_balance(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 150))
    moves.running(bound=100, budget="team:eu:chat")
    assert list(moves.books()) == ["budget:team:eu:chat:total:all"]
    with moves.ledger.read() as connection:
        row = connection.execute(select(tables.balances)).one()
    assert (row.scope, row.name, row.window, row.start) == (
        *("budget", "team:eu:chat"),
        *("total", "all"),
    )


def test_every_change_of_a_ceiling_is_written_down(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 100))
    moves.ceilings(ceiling("everything", 250), by="ada")
    with moves.ledger.read() as connection:
        rows = connection.execute(select(tables.ceiling_changes)).all()
    assert [(row.by, row.before, row.after) for row in rows] == [
        ("policy", None, 100),
        ("ada", 100, 250),
    ]


def test_a_new_policy_moves_its_own_ceilings_and_leaves_an_operators(moves: Moves) -> None:
    first = [ceiling("everything", 100), ceiling("tier", 100), ceiling("budget", 100)]
    with moves.ledger.write() as connection:
        books.seed(connection, first, 1)
        books.put(connection, ceiling("tier", 500), by="ada", now=2)
        changed = [
            ceiling("everything", 300),
            ceiling("tier", 300),
            ceiling("budget", 100, timezone="Asia/Kathmandu"),
        ]
        books.seed(connection, changed, 3)
        books.seed(connection, changed, 4)
        rows = connection.execute(select(tables.ceilings).order_by(tables.ceilings.c.scope)).all()
        changes = connection.execute(select(tables.ceiling_changes.c.at)).scalars().all()
    assert [(row.scope, row.limit, row.timezone) for row in rows] == [
        ("budget", 100, "Asia/Kathmandu"),
        ("everything", 300, "UTC"),
        ("tier", 500, "UTC"),
    ]
    assert sorted(changes) == [1, 1, 1, 2, 3, 3]


def test_a_raised_ceiling_lets_what_waited_go(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 100))
    moves.running(bound=100)
    assert moves.claim(moves.ready(bound=100)).waiting == 1
    moves.ceilings(ceiling("everything", 200), by="ada")
    moves.wake()
    assert len(moves.claim(moves.queue()).claimed) == 1
