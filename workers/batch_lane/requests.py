"""The lines of an input file: what each item's live call would send."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from tierqueue.ledger.lifecycle.claims import Claim, KnownItem
from tierqueue.ledger.records import Fence
from tierqueue.router.money import NOTHING
from tierqueue.router.policy.lanes import BatchTerms
from tierqueue.workers.engines.batches import BatchEngine
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.stations import Station
from tierqueue.workers.request import Contents, prepare, whole

_OURS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PLAIN = re.compile(r"[a-zA-Z0-9_-]{1,48}")


@dataclass(slots=True)
class BatchLines:
    """The lines by item id, in order; ``unfit``: items for which no batch is any use."""

    lines: dict[str, bytes] = field(default_factory=dict)
    unfit: list[str] = field(default_factory=list)


def key_of(item: str, fence: int) -> str:
    """What a line is called, so that its answer finds its claim: at most 64 plain characters. An id
    that its producer chose may hold anything, and leaves as a hash.
    """
    return f"{item if _OURS.fullmatch(item) else _hashed(item)}-{fence}"


def former_key_of(item: str, fence: int) -> str:
    """The same as lines were called before: an id that its producer chose went out where it was
    plain.
    """
    return f"{item if _PLAIN.fullmatch(item) else _hashed(item)}-{fence}"


def _hashed(item: str) -> str:
    return sha256(item.encode()).hexdigest()[:40]


def to_be_claimed(known: KnownItem) -> Claim:
    """The claim that an item will have, as far as its request depends on it."""
    return Claim(
        item=known.item,
        arguments=known.arguments,
        system=known.system,
        fence=Fence(known.item.fence + 1),
        held=known.item.bound or NOTHING,
        balances=(),
        started_at=0,
    )


async def build(
    station: Station,
    engine: BatchEngine,
    claims: Iterable[Claim],
    types: Mapping[str, Any],
    limits: BatchTerms,
    tokens: int | None,
    contents: Contents,
) -> BatchLines:
    """The lines of these claims, as many as one batch takes.

    ``tokens``: how many may be enqueued now; ``None``: as many as there are. An item whose image is
    kept no more is unfit; raises what ``contents`` does where the ledger cannot be asked.
    """
    built, size = BatchLines(), 0
    for claim in claims:
        bound = claim.item.token_bound or 0
        call = prepare(station.deployment.batched, claim, types.get(claim.item.task))
        if isinstance(call, Call):
            call = await whole(call, contents)
        body = await engine.request(call) if isinstance(call, Call) else None
        line = (
            None if body is None else engine.batches.line(key_of(claim.item.id, claim.fence), body)
        )
        most = limits.enqueued_tokens
        if line is None or len(line) >= limits.bytes or (most is not None and bound > most):
            built.unfit.append(claim.item.id)
            continue
        if size + len(line) + 1 > limits.bytes or len(built.lines) == limits.requests:
            break
        if tokens is not None and bound > tokens:
            break
        tokens = None if tokens is None else tokens - bound
        size += len(line) + 1
        built.lines[claim.item.id] = line
        # The loop is the live calls' too.
        await asyncio.sleep(0)
    return built
