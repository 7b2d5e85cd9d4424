"""The sharing of rates by a slice's calls: with their account, and each with its item's budget."""

from collections.abc import Mapping

from tierqueue.ledger.lifecycle.claims import budgets
from tierqueue.ledger.session import Ledger
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy
from tierqueue.workers.limits.rates import (
    OperatorLimits,
    SharedRates,
    limits_budgets,
    of_budget,
    shared_by,
)


def sharing(
    ledger: Ledger,
    policy: Policy,
    deployment: Deployment,
    chosen: OperatorLimits,
    item_of: Mapping[str, str],
) -> list[tuple[tuple[SharedRates, ...], list[str]]]:
    """What is shared, each with those of the slots that share it; ``item_of`` has their items' ids.

    The ledger is asked whose budget pays only where any budget has limits.
    """
    account = shared_by(policy, deployment, chosen)
    if not limits_budgets(policy, chosen.limits):
        return [(account, list(item_of))]
    with ledger.ask() as connection:
        paid_by = budgets(connection, sorted(item_of.values()))
    found: dict[tuple[str, ...], tuple[tuple[SharedRates, ...], list[str]]] = {}
    for slot, item in item_of.items():
        budget = paid_by.get(item)
        shared = (*account, *of_budget(policy, deployment, budget, chosen))
        found.setdefault(tuple(one.key for one in shared), (shared, []))[1].append(slot)
    return list(found.values())
