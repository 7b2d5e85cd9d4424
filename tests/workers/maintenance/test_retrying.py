"""What failed for a job is tried again later each time, and at last no more."""

from tierqueue.router.policy.duration import SECOND_US
from tierqueue.workers.maintenance.retrying import TRIES, next_try


def test_the_pause_doubles_from_half_a_minute_to_an_hour() -> None:
    pauses = [(next_try(0, tries) or 0) // SECOND_US for tries in (1, 2, 3, 7, 8, TRIES - 1)]
    assert pauses == [30, 60, 120, 1_920, 3_600, 3_600]


def test_it_is_given_up_after_the_last_try() -> None:
    assert next_try(0, TRIES) is None
