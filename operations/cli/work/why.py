"""``tierqueue why``: why one item went where it went, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import item_named
from tierqueue.operations.cli.input.policies import simulated_by_policy
from tierqueue.operations.cli.output import document_parts
from tierqueue.operations.cli.output.decision import refusals, sections
from tierqueue.operations.cli.output.printing import (
    echo,
    emit,
    json_option,
    paragraph,
    record,
)

if TYPE_CHECKING:
    from tierqueue.ledger.evaluation.second_answers import SecondItem
    from tierqueue.ledger.records import Attempt, DocumentPart
    from tierqueue.ledger.whole_item import WholeItem


@click.command(epilog="Example: tierqueue why 01a1fb7f-603c")
@click.argument("item_id", metavar="ITEM")
@json_option
def why(item_id: str, as_json: bool) -> None:
    """Tell why ITEM went where it went: what was known of it, who was looked at, what it cost.

    ITEM is its own id or that of a Celery task it was promised under; a beginning that no other has
    will do. What it was asked and what it answered is not shown.
    """
    from tierqueue.ledger.evaluation import second_answers
    from tierqueue.ledger.in_force import policies
    from tierqueue.ledger.lifecycle import documents
    from tierqueue.ledger.operations import dead_letters
    from tierqueue.ledger.results.simulated import of_items
    from tierqueue.ledger.session import now as database_now

    with open_ledger() as ledger, ledger.read() as connection:
        found = dead_letters.show(connection, item_named(connection, item_id))
        assert found is not None
        item, attempts = found
        parts = documents.parts_of(connection, item.id) if item.is_document else []
        beside = second_answers.of_item(connection, item.id)
        in_force, now = policies.in_force(connection), database_now(connection)
        simulated = simulated_by_policy(connection)
        made_up = of_items(connection, [item.id], simulated)
    if as_json:
        told = _for_scripts(item, attempts, parts, beside, in_force)
        emit({**told, "simulated": item.id in made_up})
        return
    said = sections(item, attempts, parts, beside, in_force, now, simulated, made_up)
    for number, (heading, lines) in enumerate(said):
        if number:
            echo("", heading)
        for line in lines:
            paragraph("  " if heading else "", line)


_SIGNALS = ("prompt_bytes", "messages", "output_limit", "refused_by", "too_small")
_DEMANDS = (
    *("risk", "sensitivity", "latency", "floor", "budget", "inherits", "max_cost", "deadline"),
    *("min_confidence", "fallback", "stated"),
)
_TRIED = (
    *("fence", "tier", "deployment", "outcome", "cost", "seconds", "confidence", "usage"),
    *("simulated", "detail", "started_at", "ended_at"),
)
_MONEY = ("cost", "spent", "bound", "max_cost")
_TIMES = ("deadline", "started_at", "ended_at")


def _for_scripts(
    item: WholeItem,
    attempts: Sequence[Attempt],
    parts: Sequence[DocumentPart],
    beside: Sequence[SecondItem],
    in_force: str | None,
) -> dict[str, Any]:
    """The same for scripts; a decision that was not made is null."""
    route = item.route or {}
    chosen = {name: value for name, value in route.items() if name not in ("refusals", "terms")}
    return {
        "item": item.id,
        "task": item.task,
        "state": item.state,
        "reason": item.reason,
        "spent_nanousd": document_parts.spent(parts) if parts else item.spent,
        "parts": [part.id for part in parts],
        "signals": {name: getattr(item, name) for name in _SIGNALS},
        "demands": record({k: getattr(item, k) for k in _DEMANDS}, money=_MONEY, times=_TIMES),
        "chosen": record(chosen, money=_MONEY) or None,
        "refusals": refusals(item),
        "attempts": [
            record({name: getattr(row, name) for name in _TRIED}, money=_MONEY, times=_TIMES)
            for row in attempts
        ],
        "purpose": item.purpose,
        "second_to": item.second_to,
        "answered_again": [asdict(one) for one in beside],
        "policy": item.policy,
        "policy_in_force": in_force,
        "error": item.error,
    }
