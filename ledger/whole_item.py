"""An item's whole row as a record: its payloads too, for who looks at one item, or at few."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from tierqueue.ledger.records import Fence
from tierqueue.ledger.tables import items
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD


class WholeItem(NamedTuple):
    """Everything that the ledger says of a work item, in the table's order.

    Demands that nobody stated are ``None`` until it is first routed.
    """

    id: str
    """A UUID of version 7."""
    task: str
    """The name of its task type."""
    arguments: Mapping[str, Any] | None
    """What its task is called with; ``None`` once erased."""
    prefix: str
    """Names the prompt prefix that items of one slice share."""
    prompt_bytes: int
    """The prompt's size in bytes, which bounds its tokens."""
    messages: int
    """How many messages the prompt has."""
    output_limit: int
    """Most tokens of an answer."""
    risk: str | None
    """Whom a wrong answer hurts."""
    sensitivity: str | None
    """How far its payload may go."""
    latency: str | None
    """Whether somebody waits."""
    deadline: int | None
    """Epoch microseconds."""
    max_cost: NanoUSD | None
    """Nano-dollars, over all its calls."""
    floor: str | None
    """The cheapest tier that may try."""
    budget: str | None
    """Who pays."""
    priority: int
    """0 to 9: each step halves the time to its deadline, for the order in which items go."""
    metadata: Mapping[str, Any] | None
    """The caller's own keys and values; ``None`` once erased."""
    idempotency_key: str | None
    """A second item with this key is the first one."""
    fingerprint: str
    """Tells whether two items of one idempotency key are the same."""
    job_id: str | None
    """The file that it came in."""
    job_index: int | None
    """Which row of its job, from 0."""
    state: State
    """Where it is."""
    reason: str | None
    """Why it waits or ended, as a code."""
    tier: str | None
    """Where it was routed to last."""
    deployment: str | None
    """Which of the tier's deployments."""
    route: Mapping[str, Any] | None
    """Why there, and on what terms (``Route.to_json``)."""
    bound: NanoUSD | None
    """Nano-dollars that its call costs at most."""
    token_bound: int | None
    """Tokens that its call takes at most."""
    ready_at: int
    """Epoch microseconds: when it may go on, or, queued, when its slice is overdue."""
    lease_until: int | None
    """Epoch microseconds: when its worker's claim ends; ``None``: it is not claimed."""
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
    spent: NanoUSD
    """Nano-dollars, over all its attempts."""
    held: NanoUSD
    """Nano-dollars that its open attempt holds."""
    cancel_requested: bool
    """Whether somebody cancelled it while it ran."""
    output: Mapping[str, Any] | None
    """Its answer; ``None`` once erased."""
    receipt: Mapping[str, Any] | None
    """What the answer took and cost, and why it is of this tier."""
    error: Mapping[str, Any] | None
    """What ended it: ``reason``, ``message``, ``fields``."""
    submitted_at: int
    """Epoch microseconds."""
    ended_at: int | None
    """Epoch microseconds."""
    announced_at: int | None
    """Epoch microseconds: when its dead letter stood on a ``dead.…`` queue."""
    key_expires_at: int | None
    """Epoch microseconds: when its idempotency key is free."""
    erased_at: int | None
    """Epoch microseconds: when its payloads went."""
    fallback: Mapping[str, str] | None
    """The tier it may fall to, by what it falls on (``on_throttle``)."""
    degraded: Mapping[str, Any] | None
    """Where it fell from, where to and on what (``items.fallen``)."""
    hooked_at: int | None
    """Epoch microseconds: when the hook was told that a ceiling ended it."""
    inherits: str | None
    """The sensitivity of what stood before it in a chain."""
    stated: Mapping[str, Any] | None
    """What it stated itself, once the columns hold what the policy made of it."""
    policy: str | None
    """The digest of the policy that it was routed by."""
    too_small: Mapping[str, str] | None
    """The deployments that cannot hold it, and why."""
    ceiling: str | None
    """The balance that lacks headroom for it, where that is its ``reason``."""
    attributed: NanoUSD
    """The nano-dollars of it that no ceiling counts."""
    min_confidence: float | None
    """The least confidence, 0 to 1, with which an answer is accepted; ``None`` takes any."""
    flow: str
    """With which items it shares a place (``flows``)."""
    due: int
    """Epoch microseconds: of its flow the one that is due first goes first."""
    lane: str | None
    """``batch`` or ``live``, where its route says so."""
    pinned: str | None
    """The one tier that may do it, where an evaluation asks that tier alone."""
    shared: bool
    """Whether other rows of jobs have it too."""
    fresh: bool
    """Whether no earlier answer may be taken for it."""
    images: Sequence[Sequence[int]] | None
    """The width and height in pixels of each that goes with its prompt."""
    purpose: str | None
    """Why it answers a second time what another was accepted for (``router.item.Purpose``)."""
    second_to: str | None
    """That item's id."""
    candidate: str | None
    """The one deployment that may do it, in a shadow."""
    prompt: str | None
    """The version of the instruction that it is asked under, where that is not its task type's."""
    part_of: str | None
    """The document that it is a part of."""
    split: Mapping[str, Any] | None
    """Of a document how it is cut, and its pieces once it is; of a part which pieces it has."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The item of a row of ``WHOLE_ITEM``."""
        item = cls._make(row)
        return item._replace(state=State(item.state))

    def __repr__(self) -> str:
        """Its name alone: what it was asked and has answered stands in no log."""
        return f"WholeItem(id={self.id!r}, state={self.state.value!r})"

    @property
    def is_document(self) -> bool:
        """Whether it is done in pieces, as items of their own."""
        return self.split is not None and self.part_of is None


WHOLE_ITEM = tuple(items.c[name] for name in WholeItem._fields)
"""The columns of a ``WholeItem``, in its order."""
