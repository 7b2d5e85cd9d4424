"""``tierqueue limits``: what deployments, accounts and budgets may be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import one_of, unused_budget
from tierqueue.operations.cli.input.operator import by_option, operator, reason_option
from tierqueue.operations.cli.input.policies import policy_in_force
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    json_option,
    paragraph,
    table,
)
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import shown
from tierqueue.tasks.durations import age

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tierqueue.ledger.session import Transaction
    from tierqueue.operations.limits import Limit
    from tierqueue.router.policy.policy import Policy

_NAMES = (
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "requests_per_day",
    "in_flight",
)
_LIMIT = one_of(_NAMES)


@click.group(cls=CommandGroup)
def limits() -> None:
    """Show or set what may be asked of a deployment, an account or for a budget, over all workers.

    A deployment stands by its name, an account of the policy as `account:NAME`, a budget as
    `budget:NAME`.
    """


@limits.command(epilog="Example: tierqueue limits show best")
@click.argument("scope", metavar="[DEPLOYMENT]", required=False)
@json_option
def show(scope: str | None, as_json: bool) -> None:
    """Show all limits and what is used of them, or those of DEPLOYMENT, account:NAME, budget:NAME.

    STATED is the policy's, SET an operator's in its place, LEARNED what the provider states or has
    shown by refusing, SINCE when: the least of them is in force. USED is what was asked for within
    the last minute, as the worker saw it that asked the limiter last.
    """
    from tierqueue.ledger.session import now as database_now
    from tierqueue.operations.limits import all_limits

    policy = policy_in_force()
    with open_ledger() as ledger, ledger.read() as connection:
        found, now = all_limits(connection, policy), database_now(connection)
    if scope is not None:
        if scope not in {limit.scope for limit in found}:
            _known(policy, scope)
        found = [limit for limit in found if limit.scope == scope]
    if as_json:
        emit([_for_scripts(limit) for limit in found])
        return
    told = [limit for limit in found if _says_something(limit)]
    columns = ["of", "limit", "stated>", "set>", "learned>", "since>", "used>"]
    last = Column("in force", right=True, rank=1)
    table([*columns, last], [_row(limit, now) for limit in told])
    quiet = {limit.scope for limit in found} - {limit.scope for limit in told}
    if quiet:
        paragraph("", f"nothing stated, set, learned or used: {', '.join(sorted(quiet))}")


@limits.command(name="set", epilog="Example: tierqueue limits set best requests_per_minute 40")
@click.argument("scope", metavar="DEPLOYMENT")
@click.argument("limit", type=_LIMIT, metavar="LIMIT")
@click.argument("most", type=click.IntRange(1, 10**12))
@reason_option
@by_option
@json_option
def set_(
    scope: str, limit: str, most: int, reason: str | None, by: str | None, as_json: bool
) -> None:
    """Let DEPLOYMENT, account:NAME or budget:NAME be asked for at most MOST of LIMIT.

    LIMIT is requests_per_minute, tokens_per_minute, input_tokens_per_minute,
    output_tokens_per_minute, requests_per_day or in_flight; MOST takes the place of the policy's.

    In force within 2 seconds over all workers, also after a restart, until `limits unset`. To stop
    a deployment's tier: `tierqueue concurrency set TIER 0`; to stop a budget:
    `tierqueue pause budget NAME`.
    """
    from tierqueue.ledger.in_force import stated_limits

    policy = policy_in_force()
    _known(policy, scope)
    hint = None
    with open_ledger() as ledger, ledger.write() as connection:
        if scope.startswith("budget:") and scope.removeprefix("budget:") not in policy.budgets:
            hint = unused_budget(connection, scope.removeprefix("budget:"))
        stated_limits.set_limits(connection, scope, {limit: most}, by or operator(), reason)
        found = _of(connection, policy, scope, (limit,)) if as_json else []
    if hint is not None:
        echo(hint, err=True)
    if as_json:
        emit(found[0])
        return
    stated = getattr(policy.limits_of(scope), limit)
    before = "states none" if stated is None else f"states {stated:,}"
    echo(f"{scope}: {limit} is {most:,}; the policy {before}")


@limits.command(epilog="Example: tierqueue limits unset best requests_per_minute")
@click.argument("scope", metavar="DEPLOYMENT")
@click.argument("limit", type=_LIMIT, metavar="[LIMIT]", required=False)
@reason_option
@by_option
@json_option
def unset(scope: str, limit: str | None, reason: str | None, by: str | None, as_json: bool) -> None:
    """Let the policy's LIMIT of DEPLOYMENT, account:NAME or budget:NAME hold again, or all."""
    from tierqueue.ledger.in_force import stated_limits

    policy = policy_in_force()
    with open_ledger() as ledger, ledger.write() as connection:
        # Also of one that the policy does not hold any more.
        if scope not in stated_limits.all_set(connection):
            _known(policy, scope)
        wanted = _NAMES if limit is None else (limit,)
        found = stated_limits.unset(connection, scope, wanted, by or operator(), reason)
        if not found:
            raise InvalidItem(f"nothing is set of {scope}{f': {limit}' if limit else ''}")
        now_so = _of(connection, policy, scope, found) if as_json else []
    if as_json:
        emit(now_so)
        return
    echo(f"{scope}: the policy's {', '.join(found)} again")


def _of(
    connection: Transaction, policy: Policy, scope: str, names: Sequence[str]
) -> list[dict[str, Any]]:
    """These limits of one scope as they stand now, for scripts."""
    from tierqueue.operations.limits import limits_of

    found = {limit.name: limit for limit in limits_of(connection, policy, scope)}
    return [_for_scripts(found[name]) for name in names]


def _known(policy: Policy, scope: str) -> None:
    """Refuse what the policy does not hold; a budget may be any."""
    from tierqueue.router.policy.deployment import whose
    from tierqueue.router.policy.policy_errors import there_is_no

    kind, name = whose(scope)
    if kind == "deployment":
        if scope not in policy.deployments:
            raise InvalidItem(there_is_no("deployment", scope, policy.deployments))
    elif kind == "account":
        if name not in policy.accounts:
            raise InvalidItem(there_is_no("account", name, policy.accounts))
    elif kind != "budget" or not name:
        raise InvalidItem(f"{shown(scope)!r} is no deployment, account:NAME or budget:NAME")


def _says_something(limit: Limit) -> bool:
    figures = (limit.stated, limit.chosen, limit.learned, limit.used or None)
    return any(figure is not None for figure in figures)


def _row(limit: Limit, now: int) -> tuple[Any, ...]:
    own = [_figure(figure) for figure in (limit.stated, limit.chosen, limit.learned)]
    now_so = [_figure(figure) for figure in (limit.used, limit.in_force)]
    return limit.scope, limit.name, *own, age(limit.learned_at, now), *now_so


def _figure(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _for_scripts(limit: Limit) -> dict[str, Any]:
    return {
        "kind": limit.whose[0],
        "name": limit.whose[1],
        "limit": limit.name,
        "stated": limit.stated,
        "set": limit.chosen,
        "learned": limit.learned,
        "learned_at": limit.learned_at,
        "in_force": limit.in_force,
        "used": limit.used,
        "seen_seconds_ago": None if limit.seen is None else round(limit.seen, 1),
    }
