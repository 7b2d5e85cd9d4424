"""``tierqueue concurrency``: a tier's calls in flight, over all its workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import one_of
from tierqueue.operations.cli.input.operator import by_option, operator, reason_option
from tierqueue.operations.cli.input.policies import policy_in_force
from tierqueue.operations.cli.output.printing import (
    echo,
    emit,
    json_option,
    paragraph,
    table,
)
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import TIERS, Tier

if TYPE_CHECKING:
    from tierqueue.ledger.session import Ledger
    from tierqueue.operations.concurrency import Concurrency
    from tierqueue.router.policy.policy import Policy


@click.group(cls=CommandGroup)
def concurrency() -> None:
    """Show or set a tier's calls in flight; what is set is in force within 2 seconds."""


@concurrency.command(epilog="Example: tierqueue concurrency show gpu")
@click.argument("tier", required=False, type=one_of([tier.value for tier in TIERS]))
@json_option
def show(tier: str | None, as_json: bool) -> None:
    """Show the calls each tier, or TIER, can have in flight now, and which bound says so.

    The bounds are the tier's own (of the policy, or set by an operator), what the pools of its
    running workers let through together (a pool is the calls of one process, its -c), and
    `in_flight` of its deployments.
    """
    from tierqueue.operations.concurrency import all_tiers

    policy = policy_in_force()
    with open_ledger() as ledger, ledger.read() as connection:
        found = [
            all_tier for all_tier in all_tiers(connection, policy) if tier in (None, all_tier.tier)
        ]
    if as_json:
        emit([_for_scripts(bound) for bound in found])
    else:
        columns = [
            "tier",
            "in force>",
            "tier's own>",
            "said by",
            "workers>",
            "pools>",
            "deployments>",
        ]
        table(columns, [_row(bound) for bound in found])
        for bound in found:
            if (why := in_the_way(bound)) is not None:
                paragraph("", why)


@concurrency.command(name="set", epilog="Example: tierqueue concurrency set frontier 4")
@click.argument("tier", type=one_of([tier.value for tier in TIERS]))
@click.argument("calls", type=click.IntRange(0, 100_000))
@reason_option
@by_option
@json_option
def set_(tier: str, calls: int, reason: str | None, by: str | None, as_json: bool) -> None:
    """Let TIER have at most CALLS in flight; 0 stops it, and what runs ends by itself.

    Says so where fewer can be in flight, because of the workers that run or of the deployments. It
    takes the place of the policy's until `concurrency unset`.
    """
    from tierqueue.ledger.in_force import tier_concurrency

    policy = policy_in_force()
    with open_ledger() as ledger:
        with ledger.write() as connection:
            tier_concurrency.set_concurrency(
                connection, Tier(tier), calls, by or operator(), reason
            )
        _report(ledger, policy, tier, f"{tier}: at most {calls} calls in flight", as_json)


@concurrency.command(epilog="Example: tierqueue concurrency unset frontier")
@click.argument("tier", type=one_of([tier.value for tier in TIERS]))
@reason_option
@by_option
@json_option
def unset(tier: str, reason: str | None, by: str | None, as_json: bool) -> None:
    """Let the policy say again how many calls TIER has in flight."""
    from tierqueue.ledger.in_force import tier_concurrency

    policy = policy_in_force()
    with open_ledger() as ledger:
        with ledger.write() as connection:
            if not tier_concurrency.unset(connection, Tier(tier), by or operator(), reason):
                raise InvalidItem(f"nothing is set of {tier}")
        calls = policy.tiers[Tier(tier)].concurrency
        _report(
            ledger, policy, tier, f"{tier}: the policy's {calls} calls in flight again", as_json
        )


def _report(ledger: Ledger, policy: Policy, tier: str, said: str, as_json: bool) -> None:
    from tierqueue.operations.concurrency import all_tiers

    with ledger.read() as connection:
        (here,) = (bound for bound in all_tiers(connection, policy) if bound.tier == tier)
    if as_json:
        emit(_for_scripts(here))
        return
    echo(said)
    if (why := in_the_way(here)) is not None:
        paragraph("", why)


def in_the_way(tier: Concurrency) -> str | None:
    """Why fewer calls than the tier's own bound can be in flight; ``None`` where nothing is."""
    if tier.bound_by == "tier":
        return None
    name, more = tier.tier.value, tier.stated
    if tier.workers == 0:
        return f"{name}: no worker of it runs now; start one with: tierqueue worker {name}"
    if tier.bound_by == "workers":
        whose = "its worker lets" if tier.workers == 1 else f"its {tier.workers} workers let"
        return (
            f"{name}: in force are {tier.in_force}, because {whose} no more through; grow the"
            f" pool in Flower, or start another: tierqueue worker {name} -c {more - tier.in_force}"
        )
    return (
        f"{name}: in force are {tier.in_force}, because its deployments allow no more;"
        " see in_flight in the policy"
    )


def _row(tier: Concurrency) -> tuple[Any, ...]:
    return (
        tier.tier.value,
        tier.in_force,
        tier.stated,
        tier.said_by,
        tier.workers,
        "?" if tier.pools is None else tier.pools,
        "no bound" if tier.deployments is None else tier.deployments,
    )


def _for_scripts(tier: Concurrency) -> dict[str, Any]:
    return {
        "tier": tier.tier.value,
        "concurrency": tier.stated,
        "said_by": tier.said_by,
        "in_force_calls": tier.in_force,
        "bound_by": tier.bound_by,
        "workers": tier.workers,
        "pools_calls": tier.pools,
        "deployments_calls": tier.deployments,
    }
