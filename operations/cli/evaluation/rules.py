"""``tierqueue router rules``: who answers without a model, and what audits say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.policies import policy_in_force
from tierqueue.operations.cli.output.printing import Column, emit, json_option, table

if TYPE_CHECKING:
    from tierqueue.ledger.in_force.surrogates import Record, SwitchOff
    from tierqueue.router.policy.defaults import RuleTable, SurrogateRule


@click.command(epilog="Example: tierqueue router rules --json")
@json_option
def rules(as_json: bool) -> None:
    """List the rules and surrogates of the policy, and what their audits say of them.

    Of the last 500 audits of each: how many were compared with the model's answer, and how many
    differed. The state says whether it answers, and why not.
    """
    from tierqueue.ledger.in_force import surrogates

    policy = policy_in_force()
    stated = [
        (task, one)
        for task, usual in sorted(policy.tasks.items())
        for one in (usual.rules, usual.surrogate)
        if one is not None
    ]
    with open_ledger() as ledger, ledger.read() as connection:
        off = {one.version: one for one in surrogates.switched_off(connection, policy.audited)}
        records = {one.version: surrogates.record(connection, one.version) for _, one in stated}
    rows = [_row(task, one, records[one.version], off.get(one.version)) for task, one in stated]
    if as_json:
        emit(rows)
        return
    table(
        [
            *("version", "task"),
            Column("name", rank=2),
            *("state", "compared>", "differed>"),
            Column("agreement>", right=True, rank=1),
            Column("audit", right=True, rank=3),
        ],
        [
            (
                row["version"],
                row["task"],
                row["name"] or "",
                row["state"],
                f"{row['compared']:,}",
                f"{row['differed']:,}",
                "" if row["agreement"] is None else f"{row['agreement']:.1%}",
                f"{row['audit']:.1%}",
            )
            for row in rows
        ],
        empty="the policy has neither rules nor surrogates",
    )


def _row(
    task: str, stated: RuleTable | SurrogateRule, record: Record, off: SwitchOff | None
) -> dict[str, Any]:
    """``agreement`` is what the policy states of rules; a surrogate's stands in its file."""
    from tierqueue.router.policy.defaults import RuleTable

    rule = stated if isinstance(stated, RuleTable) else None
    return {
        "version": stated.version,
        "kind": "surrogate" if rule is None else "rule",
        "task": task,
        "name": None if rule is None else rule.name,
        "file": stated.file,
        "words": None if rule is None else len(rule.words) or None,
        "state": _state(stated, off),
        "compared": record.compared,
        "differed": record.differed,
        "agreement": None if rule is None else rule.agreement,
        "audit": stated.audit,
    }


def _state(stated: RuleTable | SurrogateRule, off: SwitchOff | None) -> str:
    if off is not None:
        return "switched off" if off.record.compared else "retired"
    return "measured" if stated.audit == 1 else "answers"
