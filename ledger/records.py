"""Rows as records: what the ledger says of an item, an attempt, a part; read once, never changed.

Named tuples: a frozen dataclass of this many fields takes 7 µs to make, these take 0.4. Each holds
the columns of its names, in that order: ``select(*ITEM)``, then ``Item.from_row``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NewType, Self

from tierqueue.ledger.tables import attempts, items
from tierqueue.router.lifecycle import State, Wait
from tierqueue.router.money import NanoUSD

Fence = NewType("Fence", int)
"""Which claim of its item: one higher each time. Who writes under an older one is refused."""


class Item(NamedTuple):
    """A work item without its payloads: neither what it was called with nor what came of it.

    Demands that nobody stated are ``None`` until it is first routed.
    """

    id: str
    """A UUID of version 7."""
    task: str
    """The name of its task type."""
    prefix: str
    """Names the prompt prefix that items of one slice share."""
    prompt_bytes: int
    """The prompt's size in bytes, which bounds its tokens."""
    messages: int
    """How many messages the prompt has."""
    output_limit: int
    """Most tokens of an answer."""
    min_confidence: float | None
    """The least confidence, 0 to 1, with which an answer is accepted; ``None`` takes any."""
    risk: str | None
    """Whom a wrong answer hurts."""
    sensitivity: str | None
    """How far its payload may go."""
    inherits: str | None
    """The sensitivity of what stood before it in a chain."""
    stated: Mapping[str, Any] | None
    """What it stated itself, once the columns hold what the policy made of it."""
    latency: str | None
    """Whether somebody waits."""
    deadline: int | None
    """Epoch microseconds."""
    max_cost: NanoUSD | None
    """Nano-dollars, over all its calls."""
    floor: str | None
    """The cheapest tier that may try."""
    fallback: Mapping[str, str] | None
    """The tier it may fall to, by what it falls on (``on_throttle``)."""
    degraded: Mapping[str, Any] | None
    """Where it fell from, where to and on what (``items.fallen``)."""
    budget: str | None
    """Who pays."""
    priority: int
    """0 to 9: each step halves the time to its deadline, for the order in which items go."""
    job_id: str | None
    """The file that it came in."""
    tier: str | None
    """Where it was routed to last."""
    deployment: str | None
    """Which of the tier's deployments."""
    route: Mapping[str, Any] | None
    """Why there, and on what terms (``Route.to_json``)."""
    policy: str | None
    """The digest of the policy that it was routed by."""
    bound: NanoUSD | None
    """Nano-dollars that its call costs at most."""
    token_bound: int | None
    """Tokens that its call takes at most."""
    ready_at: int
    """Epoch microseconds: when it may go on, or, queued, when its slice is overdue."""
    fence: Fence
    """Its last claim; 0 before the first."""
    calls: int
    """Calls made that count towards the retry budget."""
    lost_claims: int
    """Claims that count towards poison."""
    throttles: int
    """How often its deployment turned it away."""
    refused_by: Sequence[str] | None
    """Tiers whose answers were refused."""
    too_small: Mapping[str, str] | None
    """The deployments that cannot hold it, and why."""
    spent: NanoUSD
    """Nano-dollars, over all its attempts."""
    attributed: NanoUSD
    """The nano-dollars of it that no ceiling counts."""
    held: NanoUSD
    """Nano-dollars that its open attempt holds."""
    lane: str | None
    """``batch`` or ``live``, where its route says so."""
    cancel_requested: bool
    """Whether somebody cancelled it while it ran."""
    submitted_at: int
    """Epoch microseconds."""
    flow: str
    """With which items it shares a place (``flows``)."""
    pinned: str | None = None
    """The one tier that may do it, where an evaluation asks that tier alone."""
    fresh: bool = False
    """Whether no earlier answer may be taken for it."""
    images: Sequence[Sequence[int]] | None = None
    """The width and height in pixels of each that goes with its prompt."""
    purpose: str | None = None
    """Why it answers a second time what another item was accepted for (``router.item.Purpose``)."""
    second_to: str | None = None
    """That item's id."""
    candidate: str | None = None
    """The one deployment that may do it, in a shadow."""
    prompt: str | None = None
    """The version of the instruction that it is asked under, where that is not its task type's."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The item of a row of ``ITEM``."""
        return cls._make(row)


class Attempt(NamedTuple):
    """One claim of an item and what came of it; ``None`` is not known before it ended."""

    item_id: str
    """Whose it is."""
    fence: Fence
    """Which of the item's."""
    tier: str
    """Where it was claimed."""
    deployment: str
    """Which of the tier's deployments."""
    worker: str
    """The process that claimed it."""
    metered: bool
    """Whether a call whose reply is lost may have been billed."""
    balances: Sequence[str]
    """The balances in which ``held`` stands while it is open."""
    held: NanoUSD
    """Nano-dollars."""
    started_at: int
    """Epoch microseconds."""
    ended_at: int | None
    """Epoch microseconds."""
    outcome: str | None
    """In the ledger's words (``accepted``, ``unknown``)."""
    cost: NanoUSD | None
    """Nano-dollars."""
    price_source: str | None
    """Where the price came from."""
    usage: Mapping[str, Any] | None
    """Tokens and engine seconds (``router.outcome.Usage``)."""
    seconds: float | None
    """How long the call took."""
    simulated: bool | None
    """Whether the answer was made up by a stand-in."""
    detail: Mapping[str, Any] | None
    """What else is known of its end."""
    confidence: float | None
    """How sure the model was of its answer, 0 to 1, where that was measured."""
    batch: str | None
    """The batch that it was handed over in; ``None``: a call of its own."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The attempt of a row of ``ATTEMPT``."""
        return cls._make(row)


class DocumentPart(NamedTuple):
    """An item of a document in pieces, with what came of it: a piece, or what joins pieces."""

    id: str
    """A UUID of version 7."""
    task: str
    """The name of its task type."""
    state: State
    """Where it is."""
    reason: str | None
    """Why it waits or ended."""
    tier: str | None
    """Where it was routed to last."""
    deployment: str | None
    """Which of the tier's deployments."""
    spent: NanoUSD
    """Nano-dollars, over all its attempts."""
    bound: NanoUSD | None
    """Nano-dollars that its call costs at most."""
    calls: int
    """Calls made that count towards the retry budget."""
    split: Mapping[str, int]
    """``from`` which piece and ``to`` before which other."""
    output: Mapping[str, Any] | None
    """Its answer."""
    receipt: Mapping[str, Any] | None
    """What the answer took and cost."""
    error: Mapping[str, Any] | None
    """What ended it."""
    erased_at: int | None
    """Epoch microseconds."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The part of a row of ``PART``."""
        part = cls._make(row)
        return part._replace(state=State(part.state))

    @property
    def span(self) -> tuple[int, int]:
        """Its pieces, from one to before another."""
        return self.split["from"], self.split["to"]


ITEM = tuple(items.c[name] for name in Item._fields)
"""The columns of an ``Item``, in its order."""

ATTEMPT = tuple(attempts.c[name] for name in Attempt._fields)
"""The columns of an ``Attempt``, in its order."""

PART = tuple(items.c[name] for name in DocumentPart._fields)
"""The columns of a ``DocumentPart``, in its order."""


_FORMER = {
    "its worker has another policy": Wait.OTHER_POLICY,
    "deployment not served here": Wait.NOT_SERVED,
    "more tokens than the limiter ever grants": Wait.TOKEN_LIMIT,
    "no answer from the limiter": Wait.LIMITER_AWAY,
    "lost claim": Wait.LOST_CLAIM,
}
"""What workers of the release before this one write, who may run beside those of this one."""


def reason_of(reason: str | None, ceiling: str | None) -> tuple[str, str | None]:
    """What a waiting item's row says: a code, and the id of the balance where it is a ceiling."""
    if reason is None:
        return "unsaid", None
    if reason == Wait.CEILING:
        return reason, ceiling
    if reason in _FORMER:
        return _FORMER[reason].value, None
    code, several, rest = reason.partition(" ")
    if several and code == Wait.CEILING:
        return code, rest
    return (code.removesuffix(",") if several and code.endswith(",") else reason), None


class ReadyItem(NamedTuple):
    """A routed item on its way into a slice."""

    id: str
    """The item's."""
    fence: Fence
    """Its last claim's."""
    tier: str
    """To whose queue it goes."""
    deployment: str
    """Which of the tier's deployments calls it."""
    prefix: str
    """Names the prompt prefix that items of one slice share."""
    token_bound: int
    """Tokens that its call takes at most."""
    flow: str
    """With which items it shares its tier (``lifecycle.flows``)."""
    output_limit: int
    """Output tokens that its task type asks for at most."""
    task: str
    """The name of its task type."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The item of a row that begins with ``READY``."""
        return cls._make(row[: len(cls._fields)])


READY = tuple(items.c[name] for name in ReadyItem._fields)
"""The columns of a ``ReadyItem``, in its order."""
