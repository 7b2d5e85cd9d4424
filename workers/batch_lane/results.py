"""Results of a batch that is over: each request's line in one of its files, or none."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx2

from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.router.outcome import Completed, Failed, Interrupted, Outcome, Throttled, Unknown
from tierqueue.router.policy.deployment import Deployment
from tierqueue.workers.batch_lane.requests import former_key_of, key_of
from tierqueue.workers.caller import judge
from tierqueue.workers.engines.batches import BatchEngine, BatchOutput, RemoteBatch, ResultLine
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.stations import Station
from tierqueue.workers.request import prepare

EXPIRED = frozenset({"batch_expired", "expired"})
CANCELLED = frozenset({"batch_cancelled", "canceled", "cancelled"})
FULL = frozenset({"token_limit_exceeded"})
"""Why a batch is refused as a whole that is taken once others are over."""

BUCKETS = ("answered", "failed", "expired", "cancelled", "missing")
"""What a request of a batch can end as; they add up to its size."""


def by_key(output: BatchOutput) -> dict[str, ResultLine]:
    """The lines by their keys; of two for one request the first with an answer holds, and where
    neither has one the first.
    """
    found: dict[str, ResultLine] = {}
    for line in output.lines:
        had = found.setdefault(line.key, line)
        if line.answer and not had.answer:
            found[line.key] = line
    return found


def believed(
    remote: RemoteBatch,
    output: BatchOutput,
    lines: Mapping[str, ResultLine],
    keys: Collection[tuple[str, int]],
) -> RemoteBatch:
    """The batch without what it says of requests that have no line, where its figures and its files
    do not add up, or a line is of none of these claims (item, fence): it may be of any.
    """
    whole = not output.broken and remote.answered == len(lines) and not foreign(keys, lines)
    return remote if whole else replace(remote, unserved=None)


def foreign(keys: Collection[tuple[str, int]], lines: Mapping[str, ResultLine]) -> int:
    """How many lines are of no request of these claims (item, fence)."""
    ours = {name(*key) for key in keys for name in (key_of, former_key_of)}
    return sum(key not in ours for key in lines)


def line_of(lines: Mapping[str, ResultLine], item: str, fence: int) -> ResultLine | None:
    """The line of one claim, also in a batch that an older release sent."""
    return lines.get(key_of(item, fence)) or lines.get(former_key_of(item, fence))


def counted(
    keys: Collection[tuple[str, int]], lines: Mapping[str, ResultLine], remote: RemoteBatch
) -> dict[str, int]:
    """How many requests of these claims (item, fence) ended as what."""
    found = Counter(_bucket(line_of(lines, *key), remote) for key in keys)
    return {name: found[name] for name in BUCKETS}


def _bucket(line: ResultLine | None, remote: RemoteBatch) -> str:
    if line is None and remote.refused:
        return "failed"
    code = remote.unserved if line is None else line.code
    if code in EXPIRED:
        return "expired"
    if code in CANCELLED:
        return "cancelled"
    if line is None:
        return "missing"
    return "answered" if line.answer else "failed"


def outcome_of(
    line: ResultLine | None,
    claim: Claim,
    station: Station,
    engine: BatchEngine,
    types: Mapping[str, Any],
    remote: RemoteBatch,
    *,
    simulated: bool,
) -> Outcome:
    """What a request came to, as if it had been a call of its own."""
    deployment = station.deployment
    if line is None:
        return _without_line(deployment.name, remote)
    if line.code in EXPIRED or line.code in CANCELLED:
        return Interrupted(kind=str(line.code))
    if line.code is not None:
        message = f"{deployment.name}: the batch says {line.code}"
        return Failed(kind=line.code, message=message, transient=True)
    kind, asked = types.get(claim.item.task), deployment.batched
    call = prepare(asked, claim, kind)
    if not isinstance(call, Call):
        message = f"{deployment.name}: an answer came that nobody can read here: {call.kind}"
        return Unknown(kind="internal_error", message=message)
    headers = {"x-simulated": "true"} if simulated else {}
    try:
        # As it was read: answers may hold halves of characters, and figures that are no JSON.
        body = json.dumps(line.body).encode()
    except RecursionError:
        body = b""
    reply = engine.read(call, httpx2.Response(line.status, content=body, headers=headers))
    if isinstance(reply, Completed) and _redacted_otherwise(claim, deployment):
        message = f"{deployment.name}: it was redacted by other rules than those in force now"
        return Failed(kind="other_redaction", message=message, transient=True, usage=reply.usage)
    return judge(reply, claim, kind, asked, call)


def _redacted_otherwise(claim: Claim, deployment: Deployment) -> bool:
    """Whether the pseudonyms in an answer may stand for something else than is found now."""
    route = claim.item.route or {}
    # What was sent as it is has no pseudonyms; nor does an older release say by which rules.
    sent = route.get("redaction", deployment.redaction)
    return route.get("terms") != deployment.terms and sent != deployment.redaction


def _without_line(deployment: str, remote: RemoteBatch) -> Outcome:
    if remote.refused and FULL.issuperset(remote.refused):
        return Throttled(after=600.0)
    if remote.refused:
        return Interrupted(kind="batch_refused")
    if remote.unserved is not None:
        return Interrupted(kind=remote.unserved)
    message = f"{deployment}: the batch {remote.state} and no file of it says what became of this"
    return Unknown(kind="no_line", message=message)


def to_go_live(outcomes: Sequence[tuple[str, Outcome]]) -> list[str]:
    """The items (id, outcome) that no other batch is tried for."""
    return [
        item
        for item, outcome in outcomes
        if isinstance(outcome, Interrupted) and outcome.kind not in CANCELLED
    ]
