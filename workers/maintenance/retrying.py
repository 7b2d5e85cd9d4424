"""Retries of what failed for a job: later each time, and at last no more."""

from tierqueue.router.policy.duration import HOUR_US, SECOND_US

TRIES = 50
"""Failures in a row, some two days, after which it is given up."""

_FIRST_US, _LAST_US = 30 * SECOND_US, HOUR_US
"""Microseconds until the next try: after the first failure, and the longest."""


def next_try(now: int, tries: int) -> int | None:
    """When it is tried again (epoch microseconds), ``tries`` times having failed in a row by
    ``now``; ``None``: it is given up.
    """
    return None if tries >= TRIES else now + min(_LAST_US, _FIRST_US << (tries - 1))
