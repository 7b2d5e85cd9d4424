"""Items, claims and attempts as the ledger hands them out, but for what is stated."""

from typing import Any

from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.records import Attempt, Fence, Item
from tierqueue.router.money import NanoUSD


def an_item(**stated: Any) -> Item:
    """An item that was submitted and stated nothing."""
    fixed: dict[str, Any] = {
        **dict.fromkeys(Item._fields),
        "id": "i",
        "task": "t",
        "prefix": "p",
        "prompt_bytes": 50,
        "messages": 2,
        "output_limit": 16,
        **dict.fromkeys(("priority", "fence", "calls", "lost_claims", "throttles"), 0),
        **dict.fromkeys(("spent", "attributed", "held", "submitted_at", "ready_at"), 0),
        "cancel_requested": False,
    }
    return Item(**{**fixed, **stated})


def a_claim(
    item: Item, *, arguments: dict[str, Any] | None = None, held: int = 0, started_at: int = 0
) -> Claim:
    """The item's first claim."""
    return Claim(
        item=item,
        arguments=arguments or {},
        fence=Fence(item.fence + 1),
        held=NanoUSD(held),
        balances=("b",),
        started_at=started_at,
    )


def an_attempt(**stated: Any) -> Attempt:
    """The open attempt of a claim on a deployment that no policy names."""
    fixed: dict[str, Any] = {
        **dict.fromkeys(Attempt._fields),
        "item_id": "i",
        "fence": 1,
        "tier": "gpu",
        "deployment": "gone",
        "worker": "w",
        "metered": False,
        "balances": ["b"],
        "held": 0,
        "started_at": 0,
    }
    return Attempt(**{**fixed, **stated})
