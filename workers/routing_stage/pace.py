"""The pace of a routing stage: its rest between two rounds, where no wake says otherwise."""

TICK_SECONDS = 0.5
"""Seconds between two sweeps for what was lost, and between two rounds when nothing happens."""

BUSY_SECONDS = 0.05
"""Seconds between two rounds while work waits for capacity in a tier's queue, or is due soon."""

PATIENT_SECONDS = 0.25
"""The most that ``BUSY_SECONDS`` grows to while nothing moves."""

GATHER_SECONDS = 0.030
"""Seconds after a round that found work in which more gathers for the next."""


class Pace:
    """The rests of one routing stage, each from what its last round found."""

    def __init__(self) -> None:
        self._still = BUSY_SECONDS

    def after(self, *, moved: bool, more: bool, full: bool, due_soon: bool) -> float:
        """Seconds until the next round. ``moved``: the last one found work, and ``more`` than it
        could take; ``full``: work waits for capacity; ``due_soon``: some waits for its time.
        """
        if moved:
            self._still = BUSY_SECONDS
            return 0.0 if more else GATHER_SECONDS
        if due_soon:
            return BUSY_SECONDS
        if not full:
            return TICK_SECONDS
        # A queue that has not moved for so long lasts as long again: it is far from empty.
        still, self._still = self._still, min(2 * self._still, PATIENT_SECONDS)
        return still
