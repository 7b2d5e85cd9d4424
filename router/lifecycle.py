"""The states of a work item and the moves between them.

One road, downward; every move happens in one ledger transaction.
"""

from enum import StrEnum


class State(StrEnum):
    """Where an item is on its road."""

    SUBMITTED = "submitted"
    """In: committed by `.delay()`, a job or the intake; an escalation; a replay.
    Out: the routing stage routes it or declares it dead."""

    ROUTED = "routed"
    """In: the routing stage chose a deployment; an expired or given-back claim.
    Out: the routing stage puts it into a slice."""

    QUEUED = "queued"
    """In: its slice was sent to a tier's queue. Out: a worker claims it; a slice that was not
    claimed in time is sent again without a change of state."""

    RUNNING = "running"
    """In: a worker's claim: fence + 1, a lease, an attempt, holds. Out: the settle under the same
    fence, or the lease's end."""

    WAITING = "waiting"
    """In: throttled, to be tried again, or a ceiling is full of others' holds; `not_before` says
    until when. Out: when it is due, back to `routed`, or to `submitted` if it has no route yet."""

    HANDED_OVER = "handed_over"
    """In: given to a provider's batch API. Out: its result is collected."""

    SUCCEEDED = "succeeded"
    """End: an answer was accepted. Cleaned by retention."""

    DEAD = "dead"
    """End: a dead letter with a reason. Out: a replay puts it back to `submitted`."""

    CANCELLED = "cancelled"
    """End: somebody cancelled it."""


ENDS: frozenset[State] = frozenset({State.SUCCEEDED, State.DEAD, State.CANCELLED})
"""States that an item does not leave by itself."""

MOVES: dict[State, frozenset[State]] = {
    State.SUBMITTED: frozenset({State.ROUTED, State.DEAD, State.CANCELLED}),
    State.ROUTED: frozenset({State.QUEUED, State.SUBMITTED, State.DEAD, State.CANCELLED}),
    State.QUEUED: frozenset(
        {
            State.RUNNING,
            State.ROUTED,
            State.WAITING,
            State.SUBMITTED,
            State.DEAD,
            State.CANCELLED,
        }
    ),
    State.RUNNING: frozenset(
        {
            State.SUCCEEDED,
            State.ROUTED,
            State.WAITING,
            State.SUBMITTED,
            State.HANDED_OVER,
            State.DEAD,
            State.CANCELLED,
        }
    ),
    State.WAITING: frozenset({State.ROUTED, State.SUBMITTED, State.DEAD, State.CANCELLED}),
    State.HANDED_OVER: frozenset(
        {State.SUCCEEDED, State.SUBMITTED, State.WAITING, State.DEAD, State.CANCELLED}
    ),
    State.SUCCEEDED: frozenset(),
    State.DEAD: frozenset({State.SUBMITTED, State.CANCELLED}),
    State.CANCELLED: frozenset(),
}
"""Every move there is; a move that is not here is a bug and is refused."""
