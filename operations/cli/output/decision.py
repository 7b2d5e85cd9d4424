"""The explanation of one item's path: what was known of it, who was considered, what came of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tierqueue.operations.cli.output.printing import moment
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.operations.cli.output.timeline import OUTCOMES, headline, is_simulated
from tierqueue.router.item import BelowTier
from tierqueue.router.money import format_usd
from tierqueue.tasks.durations import duration
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.evaluation.second_answers import SecondItem
    from tierqueue.ledger.records import Attempt, DocumentPart
    from tierqueue.ledger.whole_item import WholeItem

Section = tuple[str, list[str]]
"""A heading and the sentences below it."""

FORMER_RULES = {"dearer": "more_expensive"}
"""What an older release called a rule, by its present code."""


def sections(
    item: WholeItem,
    attempts: Sequence[Attempt],
    parts: Sequence[DocumentPart],
    beside: Sequence[SecondItem],
    in_force: str | None,
    now: int,
    simulated: Collection[str],
    made_up: Collection[str],
) -> list[Section]:
    """The item's decision in plain words; ``parts`` are those of a document in pieces, ``beside``
    its second items, ``in_force`` is the digest of the policy in force.
    ``simulated`` are the deployments that are, ``made_up`` the ids of items with such money.

    What an answer said is never among them, and neither is what was asked.
    """
    found = [
        ("", headline(item, attempts, parts, now, made_up)),
        ("What was known of it", list(_signals(item))),
        ("What it demands", list(_demands(item))),
        ("Where it went, and why", list(_chosen(item, simulated))),
        ("Who was not chosen", [_refused(refusal, simulated) for refusal in refusals(item)]),
        (
            "What was tried",
            [_tried(number, row, simulated) for number, row in enumerate(attempts, 1)],
        ),
        ("What is compared with it", list(_again(item, beside, simulated))),
        ("Who decided", list(_decided(item, in_force))),
    ]
    return [(heading, lines) for heading, lines in found if lines]


def refusals(item: WholeItem) -> list[Mapping[str, str]]:
    """The deployments that were not chosen, each with the rule it breaks under its present code.

    They stand in the item's last route, or in its error where it has none.
    """
    route, error = item.route, item.error or {}
    without = (error.get("fields") or {}).get("refusals")
    found = without if without is not None else (route or {}).get("refusals", [])
    return [
        {**refusal, "rule": FORMER_RULES.get(refusal["rule"], refusal["rule"])} for refusal in found
    ]


def _signals(item: WholeItem) -> Iterator[str]:
    messages = count(item.messages, "message")
    yield f"a prompt of {item.prompt_bytes:,} bytes in {messages}"
    route = item.route or {}
    if "input_tokens" in route:
        tokens = f"{route['input_tokens']:,} tokens in and {route['output_tokens']:,} out"
        yield f"at {route['deployment']} it can take {tokens} at the most"
    else:
        yield f"an answer of {item.output_limit:,} tokens at the most"
    refused = item.refused_by or ()
    if refused:
        yield f"refused so far: the answer of {', '.join(refused)}"
    for name, why in sorted((item.too_small or {}).items()):
        yield f"too large for {name} ({why})"


def _demands(item: WholeItem) -> Iterator[str]:
    own = item._asdict() if item.stated is None else item.stated
    for name in ("risk", "sensitivity", "latency", "floor", "budget"):
        if (demand := getattr(item, name)) is not None:
            yield f"{name} {demand}, {_said_by(own, name)}"
    if item.inherits is not None:
        before = "what stood before it in its chain"
        if item.second_to is not None:
            before = "the item that it answers a second time"
        elif item.part_of is not None:
            before = "the document that it is a part of"
        yield f"at least as guarded as {before}: {item.inherits}"
    if item.max_cost is not None:
        yield f"max_cost {format_usd(item.max_cost)}, {_said_by(own, 'max_cost')}"
    if item.deadline is not None:
        yield f"an answer by {moment(item.deadline)}"
    if item.min_confidence is not None:
        yield f"a confidence of at least {item.min_confidence:g}"
    for event, tier in sorted((item.fallback or {}).items()):
        yield f"it may fall back to {tier} {event.replace('_', ' ')}"


def _said_by(own: Mapping[str, object], name: str) -> str:
    return "by the item itself" if own.get(name) is not None else "by the policy"


def _chosen(item: WholeItem, simulated: Collection[str]) -> Iterator[str]:
    if item.tier in set(BelowTier):
        yield f"nowhere: {BelowTier(item.tier).in_words} answered, and no model was called"
        yield from (str(reason) for reason in (item.receipt or {}).get("why", ()))
        return
    if item.is_document:
        yield "nowhere as a whole: it is done in pieces, and each of its parts goes its own way"
        yield f"`tierqueue item show {item.id}` lists them, `tierqueue why` says why of each"
        return
    route = item.route
    if not route or "tier" not in route:
        if item.error is None:
            yield "nowhere yet: the routing stage has not looked at it"
        return
    bound = format_usd(route["bound"])
    where = marked(f"{route['deployment']} ({route['tier']})", route["deployment"] in simulated)
    yield f"{where}, for {bound} at the most"
    yield from (str(reason) for reason in route["reasons"])
    if item.degraded:
        fell = item.degraded
        yield f"it fell back from {fell['from']} to {fell['to']} on {fell['on']}"


def _refused(refusal: Mapping[str, str], simulated: Collection[str]) -> str:
    who = marked(refusal["deployment"], refusal["deployment"] in simulated)
    return f"{who}: {refusal['why']} [{refusal['rule']}]"


def _tried(number: int, attempt: Attempt, simulated: Collection[str]) -> str:
    who = f"{number}. {attempt.deployment} ({attempt.tier})"
    who = marked(who, is_simulated(attempt, simulated))
    if attempt.ended_at is None:
        return f"{who}: under way, {format_usd(attempt.held)} held"
    detail = attempt.detail or {}
    outcome = str(attempt.outcome)
    said = OUTCOMES.get(outcome, outcome)
    why = [*detail.get("reasons", ()), *(detail[k] for k in ("kind", "message") if detail.get(k))]
    told = f"{said} ({'; '.join(map(str, why))})" if why else said
    seconds = "" if attempt.seconds is None else f" in {duration(attempt.seconds)}"
    sure = "" if attempt.confidence is None else f", confidence {attempt.confidence:.3f}"
    return f"{who}: {told}; {format_usd(attempt.cost or 0)}{seconds}{sure}"


def _again(
    item: WholeItem, beside: Sequence[SecondItem], simulated: Collection[str]
) -> Iterator[str]:
    if item.second_to is not None:
        asked = item.candidate or item.pinned
        yield f"it answers a second time what {item.second_to} was accepted for:"
        yield f"{item.purpose}, which asks {marked(str(asked), asked in simulated)} alone"
    for one in beside:
        asked = marked(one.asked, one.asked in simulated)
        how = f"{one.purpose} at {asked}, {one.state.value}"
        yield f"{one.item} answers it a second time: {how}"


def _decided(item: WholeItem, in_force: str | None) -> Iterator[str]:
    if item.policy is None:
        return
    if in_force is None or item.policy == in_force:
        yield f"policy {item.policy}"
    else:
        yield f"policy {item.policy}; the one in force now is {in_force}"
    if prompt := (item.route or {}).get("prompt"):
        yield f"asked under {prompt}, and not its task type's own instruction"
    if predictor := (item.route or {}).get("predictor"):
        yield f"predictor {predictor}"
