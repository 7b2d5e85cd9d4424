"""The states of a work item, the moves between them, and why it waits.

Every move happens in one ledger transaction.
"""

from enum import StrEnum


class State(StrEnum):
    """Where an item is in its lifecycle."""

    SUBMITTED = "submitted"
    """In: committed by `.delay()`, a job or the intake; an escalation; a replay.
    Out: the routing stage routes it, has it answered without a call, or declares it dead; where it
    has time for a batch it waits for that."""

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
    until when; a document in pieces. Out: when it is due, back to `routed`, or to `submitted` if
    it has no route yet; the answers of a document's pieces end it."""

    HANDED_OVER = "handed_over"
    """In: given to a provider's batch API: fence + 1, an attempt, holds, no lease. Out: its result
    is settled under the same fence; its deadline comes too close."""

    REVIEW = "review"
    """In: no tier's answer was good enough, and the task type has somebody decide.
    Out: a person decides; its time runs out. It holds no money, and nobody works on it."""

    SUCCEEDED = "succeeded"
    """End: an answer was accepted. Cleaned by retention."""

    DEAD = "dead"
    """End: a dead letter with a reason. Out: a replay puts it back to `submitted`."""

    CANCELLED = "cancelled"
    """End: somebody cancelled it."""


ENDS: frozenset[State] = frozenset({State.SUCCEEDED, State.DEAD, State.CANCELLED})
"""States that an item does not leave by itself."""

MOVES: dict[State, frozenset[State]] = {
    State.SUBMITTED: frozenset(
        {State.ROUTED, State.WAITING, State.SUCCEEDED, State.DEAD, State.CANCELLED}
    ),
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
            State.REVIEW,
            State.ROUTED,
            State.WAITING,
            State.SUBMITTED,
            State.DEAD,
            State.CANCELLED,
        }
    ),
    State.WAITING: frozenset(
        {
            State.ROUTED,
            State.SUBMITTED,
            State.HANDED_OVER,
            State.SUCCEEDED,
            State.DEAD,
            State.CANCELLED,
        }
    ),
    State.HANDED_OVER: frozenset(
        {
            State.SUCCEEDED,
            State.REVIEW,
            State.SUBMITTED,
            State.WAITING,
            State.DEAD,
            State.CANCELLED,
        }
    ),
    State.REVIEW: frozenset({State.SUCCEEDED, State.DEAD, State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.DEAD: frozenset({State.SUBMITTED, State.CANCELLED}),
    State.CANCELLED: frozenset(),
}
"""Every move there is; a move that is not here is a bug and is refused."""


class Wait(StrEnum):
    """Why an item waits, where neither a deployment's trouble nor a failed call says it.

    One whose deployment cannot serve waits with the code of its ``Trouble``; one whose call failed,
    with that failure's kind, until it is tried again.
    """

    NOT_BEFORE = "not_before"
    """Its time has not come."""

    CEILING = "ceiling"
    """A ceiling has no headroom for its bound until others' holds come back; its row says which."""

    OTHER_POLICY = "other_policy"
    """The worker that had it knows its deployment by another policy."""

    NOT_SERVED = "not_served"
    """The worker that had it does not serve its deployment."""

    TOKEN_LIMIT = "token_limit"  # noqa: S105 - of tokens of text
    """Its bound is more tokens than its deployment's limiter ever grants."""

    LIMITER_AWAY = "limiter_away"
    """The limiter gave no answer."""

    REQUESTS_PER_MINUTE = "requests_per_minute"
    """Its deployment's limit of requests."""

    TOKENS_PER_MINUTE = "tokens_per_minute"
    """Its deployment's limit of tokens."""

    INPUT_TOKENS_PER_MINUTE = "input_tokens_per_minute"
    """Its deployment's limit of input tokens."""

    OUTPUT_TOKENS_PER_MINUTE = "output_tokens_per_minute"
    """Its deployment's limit of output tokens."""

    REQUESTS_PER_DAY = "requests_per_day"
    """Its deployment's limit of requests a day."""

    RATE_FORGOTTEN = "rate_forgotten"
    """The limiter does not know what its deployment was asked for in the last minute: it waits
    until all of that has arrived."""

    ACCOUNT_RATE = "account_rate"
    """Its deployment's account has no requests or tokens left of its limits."""

    ACCOUNT_IN_FLIGHT = "account_in_flight"
    """Its deployment's account has as many calls in flight as it may."""

    ACCOUNT_FORGOTTEN = "account_forgotten"
    """The limiter does not know what was asked of its deployment's account lately."""

    BUDGET_RATE = "budget_rate"
    """Its budget has no requests or tokens left of its limits."""

    BUDGET_IN_FLIGHT = "budget_in_flight"
    """Its budget has as many calls in flight as it may."""

    BUDGET_FORGOTTEN = "budget_forgotten"
    """The limiter does not know what was asked for its budget lately."""

    FLEX = "flex"
    """Its deployment's flex tier had no capacity for it."""

    IN_FLIGHT = "in_flight"
    """Its deployment's limit of calls in flight."""

    TIER_IN_FLIGHT = "tier_in_flight"
    """Its tier's concurrency, over all workers."""

    IN_FLIGHT_FORGOTTEN = "in_flight_forgotten"
    """The limiter does not know all its deployment's calls in flight: it waits for them."""

    TIER_IN_FLIGHT_FORGOTTEN = "tier_in_flight_forgotten"
    """The limiter does not know all its tier's calls in flight."""

    THROTTLED = "throttled"
    """Its provider said "not now"."""

    LOST_CLAIM = "lost_claim"
    """Its worker was lost."""

    BATCH = "batch"
    """It is collected for a batch; its row says until when."""

    PIECES = "pieces"
    """It is a document that is to be cut, or waits for the answers of its pieces."""


LIMITS = (
    Wait.REQUESTS_PER_MINUTE,
    Wait.TOKENS_PER_MINUTE,
    Wait.INPUT_TOKENS_PER_MINUTE,
    Wait.OUTPUT_TOKENS_PER_MINUTE,
    Wait.REQUESTS_PER_DAY,
    Wait.RATE_FORGOTTEN,
    Wait.ACCOUNT_RATE,
    Wait.ACCOUNT_FORGOTTEN,
    Wait.BUDGET_RATE,
    Wait.BUDGET_FORGOTTEN,
    Wait.IN_FLIGHT,
    Wait.TIER_IN_FLIGHT,
    Wait.IN_FLIGHT_FORGOTTEN,
    Wait.TIER_IN_FLIGHT_FORGOTTEN,
    Wait.ACCOUNT_IN_FLIGHT,
    Wait.BUDGET_IN_FLIGHT,
)
"""What the limiter keeps, in the order of how long it holds back: rates, then calls in flight."""

DEPLOYMENT_RATES = frozenset(LIMITS[: LIMITS.index(Wait.BUDGET_RATE)])
"""What holds items of one deployment back until a part of a minute, or of a day, is over."""

BUDGET_LIMITS = frozenset({Wait.BUDGET_RATE, Wait.BUDGET_FORGOTTEN, Wait.BUDGET_IN_FLIGHT})
"""What holds items of one budget back, and nobody else's."""
