"""``tierqueue concurrency``: a tier's calls in flight, over all its workers."""

import getpass

import click

from tierqueue.ledger import tiers
from tierqueue.router.item import TIERS, Tier
from tierqueue.tasks.cli.named import one_of
from tierqueue.tasks.cli.opened import opened
from tierqueue.tasks.cli.policy import read_policy
from tierqueue.tasks.cli.printing import emit, json_option, say, table


def operator() -> str:
    """Who does this, for the record."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody without a user name"


@click.group()
def concurrency() -> None:
    """Show or set a tier's calls in flight; what is set is in force within 2 seconds."""


@concurrency.command(epilog="Example: tierqueue concurrency show")
@json_option
def show(as_json: bool) -> None:
    """Show each tier's calls in flight, and whether the policy or an operator said so."""
    policy, _ = read_policy(None)
    with opened() as ledger, ledger.read() as connection:
        stated = tiers.all_concurrency(connection)
    shown = [
        {
            "tier": tier.value,
            "concurrency": stated.get(tier, policy.tiers[tier].concurrency),
            "said_by": "operator" if tier in stated else "policy",
        }
        for tier in TIERS
    ]
    if as_json:
        emit(shown)
    else:
        table(["tier", "calls in flight>", "said by"], [tuple(each.values()) for each in shown])


@concurrency.command(name="set", epilog="Example: tierqueue concurrency set frontier 4")
@click.argument("tier", type=one_of([each.value for each in TIERS]))
@click.argument("calls", type=click.IntRange(0, 100_000))
def set_(tier: str, calls: int) -> None:
    """Let TIER have at most CALLS in flight; 0 stops it, and what runs ends by itself."""
    with opened() as ledger, ledger.write() as connection:
        tiers.set_concurrency(connection, Tier(tier), calls, operator())
    say(f"{tier}: {calls} calls in flight")
