"""Demands are checked at the call: what cannot be meant is refused, and named."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.submission.demands import StatedDemands, moment


@pytest.mark.parametrize(
    ("demand", "value"),
    [
        ("risk", "none"),
        ("sensitivity", "secret"),
        ("max_cost", "-1usd"),
        ("max_cost", "99999999999usd"),
        ("priority", 10),
        ("deadline", "soon"),
        ("deadline", True),
        ("deadline", 1e300),
        ("deadline", math.inf),
        ("deadline", "99999999999d"),
        ("deadline", datetime(2027, 1, 1, 12)),  # noqa: DTZ001
        ("deadline", "2027-01-01T12:00:00"),
        ("deadline", "2027-01-01"),
        ("deadline", -5),
        ("deadline", timedelta(seconds=-5)),
        ("deadline", 1_800_000_000),
        ("deadline", "tomorrow"),
        ("deadline", None.__class__),
        ("budget", "a\0b"),
        ("budget", "half an emoji \ud83d"),
        ("idempotency_key", "a\0b"),
        ("metadata", {"score": math.nan}),
        ("metadata", {"nested": {"a": 1}}),
        ("budget", ""),
        ("rsik", "internal"),
    ],
)
def test_a_demand_that_cannot_be_meant_is_refused_by_name(demand: str, value: object) -> None:
    with pytest.raises(InvalidItem, match=demand) as refused:
        StatedDemands.read({demand: value}, "a.task")
    assert "Value error" not in refused.value.message


def test_a_deadline_is_a_duration_seconds_or_a_datetime() -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    expected = soon.timestamp() * 1e6
    for stated in ("1h", 3600, soon, soon.isoformat()):
        assert moment(stated, "a.task", "deadline") == pytest.approx(expected, abs=5e6)


def test_a_fallback_below_the_floor_is_refused_where_it_is_declared() -> None:
    said = "a.task: arguments: on_ceiling 'gpu' is below the floor 'frontier'"
    with pytest.raises(InvalidItem, match=said):
        StatedDemands.read({"floor": "frontier", "on_ceiling": "gpu"}, "a.task")
    allowed = StatedDemands.read({"floor": "gpu", "on_ceiling": "gpu"}, "a.task")
    assert allowed.to_columns()["fallback"] == {"on_ceiling": "gpu"}


def test_a_time_without_a_zone_says_how_it_is_written() -> None:
    naive = datetime(2027, 1, 1, 12)  # noqa: DTZ001
    for option in ("countdown", "expires"):
        with pytest.raises(InvalidItem, match=r"2027-01-01T12:00:00\+00:00"):
            moment(naive, "a.task", option)


def test_a_deadline_that_has_passed_is_a_deadline() -> None:
    # A call by name may have lain on its queue: it dies of its deadline, and can be replayed.
    passed = datetime.now(UTC) - timedelta(hours=1)
    stated = StatedDemands.read({"deadline": passed.isoformat()}, "a.task").deadline
    assert stated == round(passed.timestamp() * 1e6)
