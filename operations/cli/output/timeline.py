"""One work item's history in words and dollars: what was done for it, when, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tierqueue.operations.cli.output import document_parts
from tierqueue.operations.cli.output.action_words import in_words
from tierqueue.operations.cli.output.printing import moment
from tierqueue.operations.cli.output.simulated import MARK, marked
from tierqueue.router.item import BelowTier
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.router.money import format_usd
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.durations import duration
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.audit_log import Action
    from tierqueue.ledger.operations.item_list import ItemPromise
    from tierqueue.ledger.records import Attempt, DocumentPart
    from tierqueue.ledger.whole_item import WholeItem

_DEMANDS = ("risk", "sensitivity", "latency", "floor", "budget")

OUTCOMES = {
    "accepted": "the answer was accepted",
    "rejected": "the answer was refused",
    "throttled": "the provider said not now",
    "failed": "the call failed",
    "unknown": "the reply was lost, and may have been billed",
    "interrupted": "the call was ended by this side",
    "lost": "the worker was lost",
}
"""How a call ended, in words, by its outcome."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened ``at`` an epoch microsecond (``None``: not written down), a line a fact."""

    at: int | None
    word: str
    lines: tuple[str, ...]


def headline(
    item: WholeItem,
    attempts: Sequence[Attempt],
    parts: Sequence[DocumentPart],
    now: int,
    simulated: Collection[str],
) -> list[str]:
    """How the item stands, in a line or two; ``parts`` are those of a document in pieces,
    ``simulated`` the ids of items whose money or answer is.
    """
    state, reason = item.state, item.reason
    until = item.ended_at or now
    took = duration((until - item.submitted_at) / SECOND_US)
    how = f"{state} ({reason})" if reason else state
    held = f", {format_usd(item.held)} held" if item.held and state not in ENDS else ""
    when = f"{how} {'after' if state in ENDS else 'for'} {took}"
    # A document in pieces has no calls of its own: its line says those of its parts.
    if attempts or not item.is_document:
        money = marked(format_usd(item.spent), item.id in simulated)
        when += f": {money} spent on {count(len(attempts), 'call')}{held}"
    lines = [f"{item.id}  {item.task}", when]
    if (of_document := document_parts.line(item, parts, simulated)) is not None:
        lines.append(of_document)
    if item.error:
        lines.append(str(item.error.get("message", "")))
    if item.erased_at:
        lines.append(f"its payload was erased at {moment(item.erased_at)}")
    return lines


def timeline(
    item: WholeItem,
    attempts: Sequence[Attempt],
    owed: Sequence[ItemPromise],
    done: Sequence[Action],
    now: int,
    simulated: Collection[str] = (),
) -> list[Event]:
    """Every event in the order of time; ``done``: what operators did to it, ``simulated``: the
    deployments that are.
    """
    events = [
        _submitted(item, owed),
        *(_action(row) for row in done),
        *_former_deaths(item, done),
        *_called(item, attempts, simulated),
        *_owed(item, owed),
    ]
    if item.ended_at is not None:
        events.append(_ended(item))
    ordered = sorted(events, key=lambda event: event.at or 0)
    return [*ordered, *_present(item, owed, now, simulated)]


def _submitted(item: WholeItem, owed: Sequence[ItemPromise]) -> Event:
    lines = []
    if item.job_id is not None:
        lines.append(f"row {item.job_index} of job {item.job_id}")
    if promised := [row.id for row in owed if row.made_at <= item.submitted_at]:
        lines.append(f"as Celery task {', '.join(promised)}")
    stated = {name: getattr(item, name) for name in _DEMANDS}
    demands = [f"{name} {demand}" for name, demand in stated.items() if demand is not None]
    if item.max_cost is not None:
        demands.append(f"max_cost {format_usd(item.max_cost)}")
    if item.min_confidence is not None:
        demands.append(f"min_confidence {item.min_confidence:g}")
    if item.priority:
        demands.append(f"priority {item.priority}")
    if demands:
        lines.append(", ".join(demands))
    if item.deadline is not None:
        lines.append(f"deadline {moment(item.deadline)}")
    if item.idempotency_key is not None:
        lines.append(f"idempotency key {item.idempotency_key}")
    return Event(item.submitted_at, "submitted", tuple(lines))


def is_simulated(attempt: Attempt, deployments: Collection[str]) -> bool:
    """Whether a call is simulated: as its reply said, else by its deployment."""
    said = attempt.simulated
    return attempt.deployment in deployments if said is None else bool(said)


def _called(
    item: WholeItem, attempts: Sequence[Attempt], deployments: Collection[str]
) -> Iterator[Event]:
    free, before = item.submitted_at, None
    for attempt in attempts:
        last = attempt is attempts[-1]
        route = _route(item) if last and attempt.deployment == item.deployment else ()
        waited = (attempt.started_at - free) / SECOND_US
        why = "" if before is None else f", because {OUTCOMES.get(str(before.outcome), '')}"
        simulated = MARK if is_simulated(attempt, deployments) else ""
        moved = before is not None and before.tier != attempt.tier
        climbed = f"from {before.tier} to {attempt.tier}" if before and moved else ""
        yield Event(
            attempt.started_at,
            "called",
            (
                f"call {attempt.fence}: {attempt.deployment} ({attempt.tier}){simulated}",
                f"by {attempt.worker}",
                *([climbed] if climbed else []),
                *route,
                f"waited {duration(waited)}{why}; {format_usd(attempt.held)} held",
            ),
        )
        if attempt.ended_at is None:
            continue
        yield Event(attempt.ended_at, str(attempt.outcome), tuple(_outcome(item, attempt)))
        free, before = attempt.ended_at, attempt


def _outcome(item: WholeItem, attempt: Attempt) -> Iterator[str]:
    detail, receipt = attempt.detail or {}, item.receipt or {}
    outcome = str(attempt.outcome)
    yield OUTCOMES.get(outcome, outcome)
    why = [*detail.get("reasons", ()), *(detail[k] for k in ("kind", "message") if detail.get(k))]
    yield from (str(reason) for reason in why)
    served = detail.get("model_served")
    if attempt.outcome == "accepted":
        served = receipt.get("model_served")
        asked = receipt.get("model_asked")
        if asked:
            yield f"model {asked} asked" + (f", {served} served" if served != asked else "")
    elif served is not None:
        yield f"model {served} served"
    if usage := attempt.usage:
        yield _tokens(usage)
    if attempt.confidence is not None:
        yield f"confidence {attempt.confidence:.3f}"
    money = f"cost {format_usd(attempt.cost or 0)} of {format_usd(attempt.held)} held"
    source = f", priced by {attempt.price_source}" if attempt.price_source else ""
    seconds = "" if attempt.seconds is None else f" in {duration(attempt.seconds)}"
    yield f"{money}{seconds}{source}"
    if detail.get("overage"):
        yield f"billed {format_usd(detail['overage'])} above its bound"


def _tokens(usage: Mapping[str, Any]) -> str:
    cached = usage.get("cache_read_tokens") or 0
    written = (usage.get("cache_write_5m_tokens") or 0) + (usage.get("cache_write_1h_tokens") or 0)
    whole = (usage.get("input_tokens") or 0) + cached + written
    reasoning = usage.get("reasoning_tokens") or 0
    parts = [f"{whole:,} tokens in" + (f" ({cached:,} from the cache)" if cached else "")]
    parts.append(
        f"{usage.get('output_tokens') or 0:,} out"
        + (f" ({reasoning:,} of them reasoning)" if reasoning else "")
    )
    return ", ".join(parts)


def _route(item: WholeItem) -> tuple[str, ...]:
    route = item.route or {}
    return (
        *(str(reason) for reason in route.get("reasons", ())),
        *(
            f"not {refusal['deployment']}: {refusal['why']}"
            for refusal in route.get("refusals", ())
        ),
    )


def _ended(item: WholeItem) -> Event:
    spent = f"{format_usd(item.spent)} in all"
    fell = item.degraded
    below = item.tier in set(BelowTier)
    lines = [spent if item.state == State.SUCCEEDED else f"{item.reason or 'ended'}; {spent}"]
    if below:
        lines += [str(reason) for reason in (item.receipt or {}).get("why", ())]
    elif fell:
        lines.append(f"fell back from {fell['from']} to {fell['to']} on {fell['on']}")
    return Event(item.ended_at, item.state, tuple(lines))


def _owed(item: WholeItem, owed: Sequence[ItemPromise]) -> Iterator[Event]:
    for row in owed:
        if row.made_at > item.submitted_at:
            yield Event(row.made_at, "promised", (f"to Celery task {row.id} too",))
        if row.kept_at is not None:
            yield Event(row.kept_at, "told", (f"Celery task {row.id}",))


def former_death(item_id: str, act: Action) -> dict[str, Any] | None:
    """How the item had ended, ``reason`` and ``ended_at``, before a replay or a discard of it."""
    for death in act.detail.get("deaths", ()):
        if death["item"] == item_id:
            return {"reason": death["reason"], "ended_at": death["ended_at"]}
    return None


def _former_deaths(item: WholeItem, done: Sequence[Action]) -> Iterator[Event]:
    for act in done:
        if (death := former_death(item.id, act)) is not None:
            yield Event(death["ended_at"], State.DEAD.value, (str(death["reason"]),))


def _action(row: Action) -> Event:
    told = {k: v for k, v in row.detail.items() if k not in ("items", "deaths")}
    changed = in_words(told)
    return Event(row.at, row.what, (", ".join(filter(None, (f"by {row.by}", changed))),))


def _present(
    item: WholeItem, owed: Sequence[ItemPromise], now: int, simulated: Collection[str]
) -> Iterator[Event]:
    from tierqueue.ledger.records import reason_of

    if item.state in ENDS:
        if waiting := [row.id for row in owed if row.kept_at is None]:
            yield Event(None, "owed", (f"not told yet: Celery task {', '.join(waiting)}",))
        elif not owed and item.job_id is not None:
            yield Event(None, "kept", (f"see `tierqueue job results {item.job_id}`",))
        return
    if item.state == State.RUNNING:
        left = ((item.lease_until or now) - now) / SECOND_US
        lease = f"holds for {duration(left)} more" if left > 0 else f"ended {duration(-left)} ago"
        yield Event(None, "running", (f"its lease {lease}",))
        return
    lines = []
    if item.deployment is not None:
        bound = "" if item.bound is None else f", at most {format_usd(item.bound)}"
        to = marked(f"{item.deployment} ({item.tier})", item.deployment in simulated)
        lines.append(f"to {to}{bound}")
        lines += _route(item)
    if item.reason:
        lines.append(" ".join(filter(None, reason_of(item.reason, item.ceiling))))
    if item.ready_at > now:
        left = (item.ready_at - now) / SECOND_US
        lines.append(f"until {moment(item.ready_at)}, for {duration(left)} more")
    yield Event(None, item.state, tuple(lines) or ("its turn comes",))
