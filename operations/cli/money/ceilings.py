"""``tierqueue ceilings``: what may be spent, by whom it was set, and what is spent of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import one_of
from tierqueue.operations.cli.input.operator import by_option, operator
from tierqueue.operations.cli.input.policies import simulated_known
from tierqueue.operations.cli.money.ceiling_name import (
    WINDOWS,
    amount_of,
    refuse_unknown_name,
    rule_of,
    scope_of,
    scope_text,
)
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    json_option,
    moment,
    record,
    table,
)
from tierqueue.operations.cli.output.simulated import say_among
from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy.policy_errors import nearest
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tierqueue.ledger.ceilings.ceiling import Ceiling
    from tierqueue.ledger.ceilings.status import CeilingStatus
    from tierqueue.ledger.session import Ledger, Transaction
    from tierqueue.router.policy.tables import CeilingRule


@click.group(cls=CommandGroup)
def ceilings() -> None:
    """What may be spent, what is held for running calls, and what is spent.

    A ceiling is named by its scope, such as `budget:acme`, `tier:frontier` or `everything`
    (a scope alone, such as `budget`, means each name of it by itself), and by its window.
    """


@ceilings.command(name="list", epilog="Example: tierqueue ceilings list")
@json_option
def list_(as_json: bool) -> None:
    """List every ceiling as it stands in its present window."""
    with open_ledger() as ledger, ledger.read() as connection:
        statuses, names = _statuses(connection), simulated_known(connection)
    if as_json:
        emit(
            [
                {
                    **record(asdict(status), money=("limit", "spent", "held")),
                    "share": round(status.share, 4) if status.limit else None,
                    "simulated": _is_simulated(status, names),
                }
                for status in statuses
            ]
        )
        return
    table(
        [
            *("scope", "window"),
            Column("since", rank=4),
            *("limit>", "spent>"),
            Column("share", right=True, rank=2),
            Column("held", right=True, rank=3),
            Column("left", right=True, rank=1),
            Column("set by", rank=6),
            Column("warned of", rank=5),
        ],
        [
            (
                scope_text(status.scope, status.name),
                status.window,
                status.start,
                format_usd(status.limit),
                format_usd(status.spent),
                f"{status.share:.0%}" if status.limit else "",
                format_usd(status.held),
                format_usd(status.limit - status.spent - status.held),
                status.set_by,
                ", ".join(status.warnings),
            )
            for status in statuses
        ],
        empty="no ceiling holds: set one with `tierqueue ceilings set`",
    )
    if any(_is_simulated(status, names) for status in statuses):
        say_among(names)


def _is_simulated(status: CeilingStatus, names: Collection[str]) -> bool:
    """Whether simulated money may be among what is spent or held of it."""
    if not names or not (status.spent or status.held):
        return False
    return status.scope != "deployment" or status.name in names


@ceilings.command(name="set", epilog="Example: tierqueue ceilings set budget:acme day 50usd")
@click.argument("scope")
@click.argument("window", type=one_of(WINDOWS))
@click.argument("limit")
@click.option("--timezone", help="Whose midnight begins a day, week or month, like Europe/Berlin.")
@by_option
@json_option
def set_(
    scope: str, window: str, limit: str, timezone: str | None, by: str | None, as_json: bool
) -> None:
    """Set the ceiling of SCOPE and WINDOW to LIMIT, in force from the next claim on.

    It stays over whatever the policy says. A limit below what is spent lets nothing more go.
    """
    from tierqueue.ledger.operations import ceiling_changes

    amount = amount_of(limit)
    with open_ledger() as ledger, ledger.write() as connection:
        kind, name = scope_of(connection, scope)
        refuse_unknown_name(connection, kind, name)
        former = ceiling_changes.in_force(connection, kind, name, window)
        zone = timezone or (former.timezone if former is not None else "UTC")
        rule = rule_of(kind, name, window, amount, zone)
        ceiling_changes.change(connection, rule, by or operator())
    _report(rule, former, None, as_json)


@ceilings.command(
    name="raise", epilog="Example: tierqueue ceilings raise everything day 100usd --replay"
)
@click.argument("scope")
@click.argument("window", type=one_of(WINDOWS))
@click.argument("limit")
@click.option("--replay", is_flag=True, help="And replay the dead letters that it ended.")
@by_option
@json_option
def raise_(
    scope: str, window: str, limit: str, replay: bool, by: str | None, as_json: bool
) -> None:
    """Raise the ceiling of SCOPE and WINDOW to LIMIT; refused where that would lower it.

    With --replay every dead letter `cost_ceiling` of this very ceiling is submitted again in
    the same transaction.
    """
    amount = amount_of(limit)
    with open_ledger() as ledger:
        rule, former, replayed = _raise(ledger, scope, window, amount, by or operator(), replay)
        if replayed:
            from tierqueue.tasks.app import app
            from tierqueue.tasks.results.replay import take_back

            take_back(app, replayed)
    _report(rule, former, None if replayed is None else len(replayed), as_json)


def _raise(
    ledger: Ledger, scope: str, window: str, amount: NanoUSD, by: str, replay: bool
) -> tuple[CeilingRule, Ceiling, list[str] | None]:
    from tierqueue.ledger.ceilings.balance import label
    from tierqueue.ledger.operations import ceiling_changes

    with ledger.write() as connection:
        kind, name = scope_of(connection, scope)
        former = ceiling_changes.in_force(connection, kind, name, window)
        if former is None:
            raise InvalidItem(
                f"there is no ceiling {kind}:{name} {window} to raise: see `tierqueue ceilings"
                f" list`, or make one with `tierqueue ceilings set`{_near(connection, kind, name)}"
            )
        if amount <= former.limit:
            raise InvalidItem(
                f"{format_usd(amount)} is not above the {format_usd(former.limit)} of"
                f" {label(former)}: lower it with `tierqueue ceilings set`"
            )
        rule = rule_of(kind, name, window, amount, former.timezone)
        ceiling_changes.change(connection, rule, by)
        replayed = None
        if replay:
            replayed = ceiling_changes.replay_stopped_by(connection, rule, by)
    return rule, former, replayed


def _near(connection: Transaction, kind: str, name: str) -> str:
    statuses = _statuses(connection)
    return nearest(name, {status.name for status in statuses if status.scope == kind})


def _statuses(connection: Transaction) -> Sequence[CeilingStatus]:
    from tierqueue.ledger.ceilings.status import ceiling_statuses
    from tierqueue.ledger.session import now

    return ceiling_statuses(connection, now(connection))


@ceilings.command(epilog="Example: tierqueue ceilings history budget:acme")
@click.argument("scope", required=False)
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most lines."
)
@json_option
def history(scope: str | None, limit: int, as_json: bool) -> None:
    """Show who changed which ceiling, when, from what to what, the newest first."""
    from tierqueue.ledger.operations import ceiling_changes
    from tierqueue.operations.cli.input.filters import refuse_unknown

    with open_ledger() as ledger, ledger.read() as connection:
        kind, name = (None, None) if scope is None else scope_of(connection, scope)
        changes = ceiling_changes.history(
            connection, kind, None if name == "*" and kind != "everything" else name, limit
        )
        if not changes and kind is not None and name is not None:
            refuse_unknown_name(connection, kind, name)
            if kind == "budget" and name != "*":
                refuse_unknown(connection, {"budget": name})
    if as_json:
        emit(
            [
                record(change._asdict(), money=("before", "after"), times=("at",))
                for change in changes
            ]
        )
        return
    table(
        ["at", Column("by", rank=1), "scope", "window", "from>", "to>"],
        [
            (
                moment(change.at),
                change.by,
                scope_text(change.scope, change.name),
                change.window,
                "" if change.before is None else format_usd(change.before),
                format_usd(change.after),
            )
            for change in changes
        ],
        empty="no ceiling was changed",
    )


def _report(rule: CeilingRule, former: Ceiling | None, replayed: int | None, as_json: bool) -> None:
    from tierqueue.ledger.ceilings.balance import label

    if as_json:
        emit(
            {
                "scope": rule.scope,
                "name": rule.name,
                "window": rule.window,
                "timezone": rule.timezone,
                "from_nanousd": None if former is None else former.limit,
                "to_nanousd": rule.limit,
                "replayed": replayed,
            }
        )
        return
    was = "" if former is None else f", was {format_usd(former.limit)}"
    echo(f"{label(rule)}: {format_usd(rule.limit)}{was}")
    if replayed is not None:
        echo(f"replayed {count(replayed, 'dead letter')}")
