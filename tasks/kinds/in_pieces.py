"""Long documents both ways: one item of the whole, or items of pieces and what joins them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tierqueue.router.errors import InvalidItem, InvalidPolicy, Misconfigured
from tierqueue.router.item import Demands
from tierqueue.router.money import format_usd, parse_usd
from tierqueue.router.policy.duration import utc
from tierqueue.tasks.app import app
from tierqueue.tasks.files.documents.chunks import CHARACTERS, chunked
from tierqueue.tasks.kinds.ask import ask
from tierqueue.tasks.kinds.combine import combine
from tierqueue.tasks.kinds.extract import extract
from tierqueue.tasks.kinds.summarize import summarize
from tierqueue.tasks.submission.demands import moment
from tierqueue.tasks.submission.item_task import ItemTask

if TYPE_CHECKING:
    from tierqueue.router.choose import Conditions
    from tierqueue.router.policy.policy import Policy
    from tierqueue.tasks.routing.splitting import DocumentPlans

WIDTH = 8
"""Answers that one item joins."""

JOINED_BY: Mapping[str, ItemTask[..., Any] | None] = {
    ask.name: combine,
    summarize.name: summarize,
    extract.name: None,
}
"""What is asked of pieces, and what joins the answers; ``None``: no model does."""


def joins(pieces: int) -> int:
    """How many items join the answers of so many pieces."""
    found = 0
    while pieces > 1:
        pieces = -(-pieces // WIDTH)
        found += pieces
    return found


def grouped(level: Sequence[Any]) -> list[Sequence[Any]]:
    """Neighbours together, at most ``WIDTH``, in groups of nearly one size."""
    count = -(-len(level) // WIDTH)
    cuts = [at * len(level) // count for at in range(count + 1)]
    return [level[start:end] for start, end in pairwise(cuts)]


def shared(task: ItemTask[..., Any], demands: Mapping[str, Any], items: int) -> dict[str, Any]:
    """The demands of each item: a share of the cost, and the deadline as the moment that it is."""
    said = {name: value for name, value in demands.items() if value is not None}
    if "max_cost" in said:
        share = parse_usd(said["max_cost"]) // items
        if not share:
            raise InvalidItem(f"max_cost {said['max_cost']!r} is nothing for each of {items} items")
        said["max_cost"] = format_usd(share)
    if "deadline" in said:
        at = moment(said["deadline"], task.name, "deadline")
        said["deadline"] = utc(at).isoformat()
    return said


def dated(task: ItemTask[..., Any], demands: Mapping[str, Any]) -> dict[str, Any]:
    """The demands with a deadline: where none is stated, that which the policy gives the task type,
    so that it is one moment for all items of a document. Without a policy here each has its own.
    """
    if demands.get("deadline") is not None:
        return dict(demands)
    from tierqueue.router.policy.demands import resolve
    from tierqueue.tasks.routing.forecast.decision import this_moment

    try:
        at = resolve(Demands(), task.name, app.installation.policy, this_moment()).deadline
    except (InvalidPolicy, Misconfigured):
        return dict(demands)
    assert at is not None
    return {**demands, "deadline": utc(at).isoformat()}


def foreseen(
    task: ItemTask[..., Any],
    arguments: Mapping[str, Any],
    demands: Mapping[str, Any],
    policy: "Policy",
    conditions: "Conditions",
    *,
    characters: int = CHARACTERS,
) -> "DocumentPlans | None":
    """Whether a document that is asked this is done whole or in pieces; commits nothing.

    ``None`` where it fits one piece, and for task types that are not asked of pieces.
    """
    own = {name: value for name, value in arguments.items() if name != "text"}
    text = arguments.get("text", "")
    if task.name not in JOINED_BY or len(text) <= characters:
        return None
    pieces = [piece for _, piece in chunked(text, characters) if piece.strip()]
    return _compared(task, text, pieces, own, demands, policy, conditions)


def _compared(
    part: ItemTask[..., Any],
    text: str,
    pieces: Sequence[str],
    own: Mapping[str, Any],
    demands: Mapping[str, Any],
    policy: "Policy",
    conditions: "Conditions",
) -> "DocumentPlans":
    from tierqueue.tasks.routing.splitting import compare
    from tierqueue.tasks.routing.token_counter import TokenCounter

    join = JOINED_BY[part.name]
    joining = joins(len(pieces)) if join else 0
    told = {**own, **shared(part, demands, len(pieces) + joining)}
    whole = part.new_item((), {"text": text, **own, **demands}, item_id="whole")
    items = [part.new_item((), {"text": piece, **told}, item_id="piece") for piece in pieces]
    if join is not None:
        # What joins reads answers, which are taken to be as long as a piece.
        items += [replace(items[0], output_limit=join.output_limit)] * joining
    return compare(whole, items, policy, conditions, TokenCounter(policy))


def both_ways(
    part: ItemTask[..., Any],
    text: str,
    pieces: Sequence[str],
    own: Mapping[str, Any],
    demands: Mapping[str, Any],
) -> "DocumentPlans | None":
    """The comparison by the policy of this process; ``None`` where it has none that it can use."""
    from tierqueue.ledger.in_force import evidence
    from tierqueue.router.choose import Conditions
    from tierqueue.tasks.routing.forecast.decision import this_moment

    try:
        policy = app.installation.policy
        with app.installation.ledger.read() as connection:
            known = evidence.by_task(connection)
        conditions = Conditions(now=this_moment(), evidence=known)
        return _compared(part, text, pieces, own, demands, policy, conditions)
    except (InvalidPolicy, Misconfigured):
        return None


def begun_whole(part: ItemTask[..., Any], key: str, demands: Mapping[str, Any]) -> bool | None:
    """Whether the call with this idempotency key was begun before as one item of the whole, or in
    pieces; ``None``: it is the first.

    What costs less may have changed since, and the other way would be paid as well.
    """
    from tierqueue.ledger.lifecycle.items import is_known

    with app.installation.ledger.read() as connection:
        for whole, first in ((True, whole_key(key)), (False, key)):
            stored = part.stored_key(f"{first}/0", demands.get("budget"))
            if is_known(connection, stored):
                return whole
    return None


def whole_key(key: str) -> str:
    """The idempotency key of a document that is one item, told from that of its pieces."""
    return f"{key}/whole"
