"""``tierqueue audit-spend``: which work pays an expensive tier where a cheaper one passes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import ago
from tierqueue.operations.cli.input.policies import policy_in_force
from tierqueue.operations.cli.output.printing import (
    Column,
    dollars,
    echo,
    emit,
    json_option,
    paragraph,
    table,
)
from tierqueue.operations.cli.output.simulated import AMONG, marked
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.operations.accounting.overspending import Overspending


@click.command(epilog="Example: tierqueue audit-spend --since 30d")
@click.option("--since", default="30d", show_default=True, help="Answers of the last 24h, 7d, …")
@json_option
def audit_spend(since: str, as_json: bool) -> None:
    """Say which task types pay for work that a cheaper tier passes, and what a change would save.

    By what the answers so far have shown and, from 30 on, by what people said of them. The cheaper
    tier is asked first, and the one that is paid now as often as its answer does not pass. Who may
    not see the items is no candidate; a floor that stands in the way is named.
    """
    from tierqueue.ledger.accounting import spending
    from tierqueue.ledger.accounting.spending import SpendingQuery
    from tierqueue.ledger.evaluation import first_answers
    from tierqueue.ledger.in_force import evidence
    from tierqueue.operations.accounting.overspending import overspent

    policy = policy_in_force()
    with open_ledger() as ledger, ledger.read() as connection:
        answers = first_answers.first_answers(connection, ago(since))
        tasks = sorted({group.task for group in answers})
        asked = SpendingQuery(simulated=policy.simulated)
        past = {task: spending.past(connection, task, asked) for task in tasks}
        found = overspent(
            answers, policy, evidence.by_task(connection), first_answers.judged(connection), past
        )
    if as_json:
        emit([_as_dict(one, policy.simulated) for one in found])
    else:
        _print(found, since, policy.simulated)


def _as_dict(one: Overspending, simulated: Collection[str]) -> dict[str, Any]:
    cheaper = one.cheaper
    told: dict[str, Any] | None = None
    if cheaper is not None:
        saves = cheaper.saves
        told = {
            "tier": cheaper.tier.value,
            "deployment": cheaper.deployment,
            "simulated": cheaper.deployment in simulated,
            "answers": cheaper.answers,
            "labels": cheaper.labels,
            "passes": None if cheaper.passes is None else asdict(cheaper.passes),
            "saves_nanousd": None if saves is None else round(saves.value),
            "low_nanousd": None if saves is None else round(saves.low),
            "high_nanousd": None if saves is None else round(saves.high),
        }
    return {
        "task": one.task,
        "deployment": one.deployment,
        "sensitivity": one.sensitivity,
        "simulated": one.simulated,
        "items": one.items,
        "cost_nanousd": one.cost,
        "floor": one.floor,
        "cheaper": told,
    }


def _print(found: list[Overspending], since: str, simulated: Collection[str]) -> None:
    from tierqueue.router.selection.evidence import ENOUGH

    saving = [one for one in found if one.cheaper is not None and one.cheaper.saves is not None]
    table(
        [
            "task",
            Column("paid to", rank=1),
            Column("sensitivity", rank=4),
            "items>",
            "cost>",
            Column("could go to", rank=1),
            Column("passes", right=True, rank=2),
            "saves>",
            Column("between", rank=3),
        ],
        [_row(one, simulated) for one in saving],
        empty=f"nothing of the last {since} is known to be done for less",
    )
    for one in saving:
        if one.floor is not None and one.cheaper is not None:
            paragraph(
                "",
                f"{one.task}: its floor {one.floor} keeps it from {one.cheaper.deployment}; whether"
                " that may be lowered is yours to say",
            )
    for one in found:
        if one.cheaper is not None and one.cheaper.saves is None:
            paragraph(
                "",
                f"{one.task} at {marked(one.deployment, one.simulated)}"
                f" ({count(one.items, 'item')},"
                f" {format_usd(NanoUSD(one.cost))}): too little is known of"
                f" {one.cheaper.deployment}, {count(one.cheaper.answers, 'answer')} of {ENOUGH};"
                " a labelled set tells: tierqueue eval",
            )
    paid = sum(one.cost for one in found)
    mark = AMONG if any(one.simulated for one in found) else ""
    echo(f"paid in the last {since}, accepted at the first tier: {format_usd(NanoUSD(paid))}{mark}")


def _row(one: Overspending, simulated: Collection[str]) -> tuple[str, ...]:
    cheaper = one.cheaper
    assert cheaper is not None
    assert cheaper.saves is not None
    assert cheaper.passes is not None
    return (
        one.task,
        marked(one.deployment, one.simulated),
        one.sensitivity,
        f"{one.items:,}",
        format_usd(NanoUSD(one.cost)),
        marked(cheaper.deployment, cheaper.deployment in simulated),
        f"{cheaper.passes.value:.1%}",
        dollars(cheaper.saves.value),
        f"{dollars(cheaper.saves.low)} and {dollars(cheaper.saves.high)}",
    )
