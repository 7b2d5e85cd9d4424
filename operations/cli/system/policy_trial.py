"""A policy on trial: what it would have done with recorded items, as commands print it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tierqueue.operations.cli.input.names import ago
from tierqueue.operations.cli.input.options import task_types
from tierqueue.operations.cli.output.printing import echo, paragraph, table
from tierqueue.operations.cli.output.simulated import marked, say_among
from tierqueue.router.money import format_usd
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from collections.abc import Collection

    from tierqueue.ledger.session import Transaction
    from tierqueue.router.policy.policy import Policy
    from tierqueue.router.signals import Prediction
    from tierqueue.tasks.jobs.policy_replay import PolicyReplay

MOST = 20_000
"""Most items that are replayed, the newest."""

_READ = 500
"""Items whose arguments are read at once, where a predictor is asked."""


def through(connection: Transaction, found: Policy, since: str) -> PolicyReplay:
    """What ``found`` would have done with items submitted in the last ``since`` (``7d``)."""
    from tierqueue.ledger.accounting import spending
    from tierqueue.ledger.accounting.spending import SpendingQuery
    from tierqueue.ledger.lifecycle import routes
    from tierqueue.ledger.operations import item_list
    from tierqueue.ledger.session import now
    from tierqueue.tasks.jobs.policy_replay import replayed
    from tierqueue.tasks.routing.forecast.answerers import Answerers
    from tierqueue.tasks.routing.forecast.recorded_items import ItemsBelow
    from tierqueue.tasks.routing.measurements import measure
    from tierqueue.tasks.routing.predictors import Predictors

    begin = ago(since)
    assert begin is not None
    items = item_list.recorded(connection, begin, MOST)
    if any(usual.rules is not None or usual.reuse is not None for usual in found.tasks.values()):
        task_types()
    below = ItemsBelow(Answerers.in_service(connection, found), found)
    asked = SpendingQuery(simulated=found.simulated)
    tasks = sorted({one.item.task for one in items})
    past = {task: spending.past(connection, task, asked) for task in tasks}
    predictors = Predictors(found)
    wanted = [
        one.item
        for one in items
        if predictors.wants(one.item.task) or below.first.wants(one.item.task)
    ]
    predicted: dict[str, Prediction] = {}
    for part in (wanted[at : at + _READ] for at in range(0, len(wanted), _READ)):
        arguments = routes.arguments(connection, [item.id for item in part])
        read = [item for item in part if item.id in arguments]
        called = [(item.id, item.task, arguments[item.id], item.budget) for item in read]
        predicted |= predictors.predict(called)
        for item in read:
            below.read(item, arguments[item.id])
    known = measure(connection, found, now(connection))
    return replayed(items, found, past, known, predicted, below)


def replayed_dict(outcome: PolicyReplay, simulated: Collection[str]) -> dict[str, Any]:
    """A replay for scripts, with which of its deployments are simulated."""
    return {**outcome.to_json(), "simulated": sorted(outcome.by_deployment.keys() & simulated)}


def print_replayed(outcome: PolicyReplay, shown: int, simulated: Collection[str]) -> None:
    refused = outcome.refused
    of = count(outcome.items, "item")
    echo(f"{len(refused):,} of {of} {'is' if len(refused) == 1 else 'are'} expected to be refused")
    for reason, ids in sorted(refused.items.items()):
        echo(f"refused: {count(len(ids), 'item')} {reason}, such as {ids[0]}")
        for example in refused.examples(reason):
            paragraph("  ", f"{example['item']}: {example['why']}")
    table(
        ["deployment", "items before>", "items after>"],
        [
            (marked(name, name in simulated), f"{before:,}", f"{after:,}")
            for name, (before, after) in sorted(outcome.by_deployment.items())
        ],
        empty="no item was routed in this time",
    )
    expected = outcome.expected
    paragraph(
        "",
        f"{count(outcome.items, 'item')} cost {format_usd(outcome.spent)};"
        f" expected under this policy: {format_usd(round(expected.value))}, between"
        f" {format_usd(round(expected.low))} and {format_usd(round(expected.high))} (95%)",
    )
    say_among(outcome.by_deployment.keys() & simulated)
    if outcome.unknown:
        items = count(outcome.unknown, "item")
        paragraph("", f"{items} would go where no answer is known: each counts with its bound")
    for version, asked in sorted(outcome.predicted.items()):
        elsewhere = count(outcome.swayed[version], "item")
        paragraph("", f"{version} was asked for {count(asked, 'item')}: {elsewhere} go elsewhere")
    if outcome.predicted:
        without = format_usd(round(outcome.without.value))
        paragraph("", f"expected without predictors: {without}")
    rules = Counter(move.rule for move in outcome.moves)
    by_rule = ", ".join(f"{items:,} {rule}" for rule, items in rules.most_common())
    elsewhere = f"{count(len(outcome.moves), 'item')} would go elsewhere"
    paragraph("", f"{elsewhere}: {by_rule}" if by_rule else elsewhere)
    for move in outcome.moves[:shown]:
        before, after = (marked(name, name in simulated) for name in (move.before, move.after))
        paragraph("  ", f"{move.item}: {before} -> {after}, {move.why}")
    if outcome.items == MOST:
        echo(f"the newest {MOST:,} items alone; there are more")
