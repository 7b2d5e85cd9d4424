"""Every error tierqueue raises on purpose, in one tree.

    TierqueueError
    ├── InvalidItem            what the producer handed over cannot become a work item
    ├── InvalidPolicy          tierqueue.toml cannot be used
    ├── InvalidArtefact        what was learned cannot be read, or is not what was named
    ├── Misconfigured          a setting, key or broker URL is missing or wrong
    ├── LedgerMismatch         the database is older or newer than this code
    ├── SpendingRefused        no ledger or no limiter, so nothing may be spent
    └── DeadLettered           the item ended without an accepted answer
        ├── NoRoute            no deployment satisfies what the item demands
        ├── CostCeilingExceeded  a ceiling cannot cover the call, even if every hold came back
        ├── DeadlineExceeded   the item's deadline passed before an answer was accepted
        ├── Rejected           the last answer allowed by the policy failed validation
        │   ├── Truncated      it was cut off at its output limit
        │   ├── Repetitive     it said one thing over and over
        │   └── Withheld       the provider's filter kept it back
        ├── LowConfidence      the last answer allowed by the policy was too doubtful
        ├── WrongModel         another model answered than the one asked for
        ├── ContextWindowExceeded  no model allowed has a context window that holds the item
        ├── RequestTooLarge    no account allowed may ask for as much as the item at once
        ├── AnswerNotHeld      no grammar allowed can hold the form of the answer
        ├── Exhausted          the retry budget is used up
        ├── RequestRefused     the deployment refuses the request, however often it is made
        ├── TaskCodeFailed     the task type's own code raised, or a worker does not know it
        ├── InternalError      a worker's own code raised
        ├── Poisoned           workers died holding the item as often as the policy allows
        ├── EgressRefused      a deployment outside the item's data boundary was about to be called
        ├── Unpriced           the deployment's model has no price
        ├── ChargeUnknown      a paid call may have been billed and its reply is lost
        ├── Undecodable        a message could not be read; its raw bytes are kept
        ├── Cancelled          somebody cancelled the item
        └── Erased             the item has ended, and its answer was erased since

An error's ``args`` are ``(message, fields)``, both plain JSON, so that Celery carries them to a
producer whole, and to one where tierqueue is not installed as an exception of the same name.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class TierqueueError(Exception):
    """The root of the tree.

    ``fields`` holds JSON values (ids, nano-dollars, names) that a program can act on; ``message``
    says to a person what happened, to which item, and what to do.
    """

    def __init__(self, message: str, fields: Mapping[str, Any] | None = None) -> None:
        self.message = message
        self.fields: dict[str, Any] = dict(fields or {})
        super().__init__(message, self.fields)

    def __str__(self) -> str:
        return self.message


class InvalidItem(TierqueueError):
    """What the producer handed over cannot become a work item; nothing was stored."""

    reason: ClassVar[str] = "invalid"


class InvalidPolicy(TierqueueError):
    """tierqueue.toml cannot be used; the message names the key and the nearest valid one."""


class InvalidArtefact(TierqueueError):
    """What was learned cannot be used: not the file that was named, damaged, or of another kind."""


class Misconfigured(TierqueueError):
    """A setting is missing or wrong; the message names the environment variable."""


class LedgerMismatch(TierqueueError):
    """The database's schema is older (run ``tierqueue migrate``) or newer than this code."""


class SpendingRefused(TierqueueError):
    """The ledger or the limiter cannot be asked, so nothing may be spent; the item waits."""


class DeadLettered(TierqueueError):
    """The item ended without an accepted answer; ``reason`` is the dead letter's reason."""

    reason: ClassVar[str] = "dead"


class NoRoute(DeadLettered):
    """No deployment satisfies the item's demands; ``fields["refusals"]`` says why, one by one, and
    ``fields["nearest"]``, where one thing would do, with which change one would.
    """

    reason = "no_route"


class CostCeilingExceeded(DeadLettered):
    """A ceiling cannot cover the call, even if every hold came back.

    ``fields``: ``ceiling, limit, spent, held, needed``, the last four in nano-dollars. Terminal:
    neither Celery nor tierqueue tries again.
    """

    reason = "cost_ceiling"


class DeadlineExceeded(DeadLettered):
    """The item's deadline passed before an answer was accepted."""

    reason = "deadline"


class Rejected(DeadLettered):
    """The last answer the policy allows failed validation; ``fields["reasons"]`` says how."""

    reason = "rejected"


class Truncated(Rejected):
    """The last answer the policy allows was cut off at its output limit: a larger one may do."""

    reason = "truncated"


class Repetitive(Rejected):
    """The last answer the policy allows said one thing over and over until its limit ended it."""

    reason = "repetition"


class Withheld(Rejected):
    """The last answer the policy allows was withheld by the provider's filter."""

    reason = "withheld"


class LowConfidence(DeadLettered):
    """The last answer the policy allows was too doubtful to be accepted."""

    reason = "low_confidence"


class WrongModel(DeadLettered):
    """Another model answered than the one asked for, and the item's demands forbid that."""

    reason = "wrong_model"


class ContextWindowExceeded(DeadLettered):
    """A deployment says that its context window does not hold the item, and no tier is above."""

    reason = "context_window"


class RequestTooLarge(DeadLettered):
    """The item alone is above a provider's limit for one request or one minute.

    No waiting cures it: shorten the item, or raise the account's limit.
    """

    reason = "too_large"


class AnswerNotHeld(DeadLettered):
    """The grammar of a deployment's engine cannot hold the answer's form, and nobody else may try.

    Change the part of the model that ``tierqueue doctor`` names.
    """

    reason = "grammar"


class Exhausted(DeadLettered):
    """The retry budget (calls) is used up; ``fields["last"]`` is the last failure."""

    reason = "exhausted"


class RequestRefused(DeadLettered):
    """The deployment refuses the request for good; ``fields["last"]`` says with which code."""

    reason = "refused"


class TaskCodeFailed(DeadLettered):
    """The task type's prompt or a check raised, or the worker does not know the task type."""

    reason = "task_code"


class InternalError(DeadLettered):
    """A worker's own code raised before anything was sent; its log has the traceback."""

    reason = "internal"


class Poisoned(DeadLettered):
    """Claims on the item ended without a settle as often as the policy allows."""

    reason = "poison"


class EgressRefused(DeadLettered):
    """A deployment outside the item's data boundary was about to be called; nothing was sent."""

    reason = "egress"


class Unpriced(DeadLettered):
    """The deployment's model has no price, so the call could not be bounded; nothing was sent."""

    reason = "unpriced"


class ChargeUnknown(DeadLettered):
    """A paid call may have been billed, its reply is lost and the policy forbids another."""

    reason = "unknown"


class Undecodable(DeadLettered):
    """A message could not be read; its raw bytes are kept in the ledger."""

    reason = "undecodable"


class Cancelled(DeadLettered):
    """Somebody cancelled the item."""

    reason = "cancelled"


class Erased(DeadLettered):
    """The item has an answer no more: it was erased, or its time to be kept is over."""

    reason = "erased"


BY_REASON: dict[str, type[TierqueueError]] = {
    InvalidItem.reason: InvalidItem,
    **{
        kind.reason: kind
        for ends in (DeadLettered.__subclasses__(), Rejected.__subclasses__())
        for kind in ends
    },
}
"""The error a producer sees for each dead-letter reason."""


def of_reason(reason: str, message: str, fields: Mapping[str, Any] | None = None) -> TierqueueError:
    """The error for a dead letter's ``reason``; ``KeyError`` for a reason nobody declared."""
    return BY_REASON[reason](message, fields)
