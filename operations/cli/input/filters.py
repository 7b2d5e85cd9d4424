"""Filters of lists: one that nothing bears is a typo, and told the nearest."""

from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from tierqueue.ledger.operations.names import (
    budget_is_known,
    budgets,
    deployment_is_known,
    reason_is_known,
    reasons,
    task_is_known,
)
from tierqueue.ledger.session import Transaction
from tierqueue.operations.cli.input.options import task_types
from tierqueue.router.errors import BY_REASON, InvalidItem, InvalidPolicy, Misconfigured
from tierqueue.router.lifecycle import Wait
from tierqueue.router.outcome import Trouble
from tierqueue.router.policy.policy_errors import there_is_no


def refuse_unknown(connection: Transaction, filters: Mapping[str, str | None]) -> None:
    """Raise ``InvalidItem`` for a filter that no item can be found by: it is a typo.

    A name is known where an item bears it, or where one might: a reason
    this code knows, a declared task type, a deployment of the policy.
    """
    for name, (what, is_known, usual) in _FILTERS.items():
        if (stated := filters.get(name)) is None:
            continue
        known = set(usual(connection))
        if stated not in known and not is_known(connection, stated):
            raise InvalidItem(there_is_no(what, stated, known))


def _task_types(_: Transaction) -> Iterable[str]:
    return task_types()


def _reasons(connection: Transaction) -> Iterable[str]:
    return {*BY_REASON, *get_args(Trouble), *Wait, *_ANEW, *reasons(connection)}


def _deployments(connection: Transaction) -> Iterable[str]:
    from tierqueue.operations.cli.input.policies import applied_or_file

    try:
        return applied_or_file(connection).deployments
    except (InvalidPolicy, Misconfigured):
        return ()


_ANEW = ("escalated", "fallback")
"""Why items are routed anew."""

_FILTERS: Mapping[
    str,
    tuple[str, Callable[[Transaction, str], bool], Callable[[Transaction], Iterable[str]]],
] = {
    "reason": ("reason", reason_is_known, _reasons),
    "task": ("task type", task_is_known, _task_types),
    "deployment": ("deployment", deployment_is_known, _deployments),
    "budget": ("budget", budget_is_known, budgets),
}
"""By a filter's name: what it names, whether an item bears the name, and the names there are."""
