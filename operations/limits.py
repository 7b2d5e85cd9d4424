"""Limits of deployments, accounts and budgets: what is stated, set, learned and used of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tierqueue.ledger.in_force import learned_limits, stated_limits
from tierqueue.ledger.in_force.learned_limits import LearnedLimit
from tierqueue.ledger.monitoring import progress, rate_waits
from tierqueue.ledger.monitoring.progress import Process
from tierqueue.ledger.session import Transaction, now
from tierqueue.router.policy.deployment import Limits, whose
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Route

NAMES: tuple[str, ...] = tuple(Limits.model_fields)
"""The limits, as the policy calls them."""

_A_MINUTE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of one deployment, ``account:NAME`` or ``budget:NAME``; ``None`` where nothing is
    known.

    ``stated`` by the policy, ``chosen`` by an operator in its place; ``learned`` from the provider;
    known so since ``learned_at`` (epoch microseconds); ``used`` in the minute before a worker last
    asked, ``seen`` seconds ago.
    """

    scope: str
    name: str
    stated: int | None
    chosen: int | None
    learned: int | None
    learned_at: int | None
    used: int | None
    seen: float | None

    @property
    def whose(self) -> tuple[str, str]:
        """Its kind (``deployment``, ``account`` or ``budget``) and its name."""
        return whose(self.scope)

    @property
    def in_force(self) -> int | None:
        """What may be asked for now; ``None``: any number."""
        own = self.stated if self.chosen is None else self.chosen
        return min((most for most in (own, self.learned) if most is not None), default=None)


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    """A scope as a worker's limiter last saw it, so many seconds ago, by limit."""

    age: float
    used: Mapping[str, int]
    learned: Mapping[str, int]


def all_limits(connection: Transaction, policy: Policy) -> list[Limit]:
    """Every limit of every scope now, by what the workers last told and else by the ledger."""
    found = stated_limits.all_set(connection)
    return _limits(connection, policy, scopes(policy, found), found)


def limits_of(connection: Transaction, policy: Policy, scope: str) -> list[Limit]:
    """Every limit of one scope, whether or not any holds."""
    return _limits(connection, policy, [scope], stated_limits.all_set(connection))


def _limits(
    connection: Transaction,
    policy: Policy,
    wanted: Iterable[str],
    found: Mapping[str, Mapping[str, int]],
) -> list[Limit]:
    learned: dict[tuple[str, str], LearnedLimit] = {}
    for limit in sorted(learned_limits.all_learned(connection), key=lambda one: one.rate or 0):
        learned.setdefault((limit.deployment, limit.name), limit)
    seen = last_seen(progress.living(connection, now(connection)))
    return [
        _limit(
            policy, scope, name, found.get(scope, {}), seen.get(scope), learned.get((scope, name))
        )
        for scope in wanted
        for name in NAMES
    ]


def scopes(policy: Policy, chosen: Iterable[str] = ()) -> list[str]:
    """Whatever may have limits: deployments, accounts, and the budgets of which any is stated or
    ``chosen``.
    """
    stated = {name for name, kept in policy.budgets.items() if kept.limits != Limits()}
    of_budgets = {f"budget:{name}" for name in stated}
    of_budgets |= {scope for scope in chosen if scope.startswith("budget:")}
    accounts = [f"account:{name}" for name in policy.accounts]
    return [*policy.deployments, *accounts, *sorted(of_budgets)]


def last_seen(processes: Iterable[Process]) -> dict[str, ReportedUsage]:
    """Of each scope what the worker said of it that asked the limiter last."""
    found: dict[str, ReportedUsage] = {}
    for process in processes:
        for scope, told in process.detail.get("limits", {}).items():
            seen = _reported_usage(told, process.silent)
            if scope not in found or seen.age < found[scope].age:
                found[scope] = seen
    return found


def _reported_usage(told: Mapping[str, Any], silent: float) -> ReportedUsage:
    age = told["ago"] + silent
    # What was used then has left the minute since.
    return ReportedUsage(age, told["used"] if age < _A_MINUTE else {}, told["learned"])


def _limit(
    policy: Policy,
    scope: str,
    name: str,
    chosen: Mapping[str, int],
    seen: ReportedUsage | None,
    kept: LearnedLimit | None,
) -> Limit:
    stated: int | None = getattr(policy.limits_of(scope), name)
    learned = kept.rate if kept else None
    if seen is not None:
        learned = seen.learned.get(name)
    return Limit(
        scope=scope,
        name=name,
        stated=stated,
        chosen=chosen.get(name),
        learned=learned,
        learned_at=kept.at if kept is not None and learned is not None else None,
        used=None if seen is None else seen.used.get(name),
        seen=None if seen is None else seen.age,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitWait:
    """One limit that a call has before it: ``needed`` is what the call takes of it at most,
    ``ahead`` how many items are to be called within it before.

    ``wait``: the seconds that makes, about, where those ahead take as much each, and what is used
    was used evenly; ``None`` where nothing is known of what is used, or nothing is let through.
    """

    limit: Limit
    needed: int
    ahead: int
    wait: float | None


def on_the_way(
    connection: Transaction, policy: Policy, route: Route, budget: str | None
) -> list[LimitWait]:
    """The limits in force that hold for a call of this route, those that make it wait first."""
    deployment = policy.deployments[route.deployment]
    needs = {
        "requests_per_minute": 1,
        "tokens_per_minute": route.input_tokens + route.output_tokens,
        "input_tokens_per_minute": route.input_tokens,
        "output_tokens_per_minute": route.output_tokens,
        "requests_per_day": 1,
        "in_flight": 1,
    }
    of_account = [
        one.name for one in policy.deployments.values() if one.account == deployment.account
    ]
    scopes: list[tuple[str, list[str], str | None]] = [(route.deployment, [route.deployment], None)]
    if deployment.account is not None:
        scopes.append((f"account:{deployment.account}", of_account, None))
    if budget is not None:
        scopes.append((f"budget:{budget}", [*policy.deployments], budget))
    found: list[LimitWait] = []
    for scope, deployments, payer in scopes:
        holding = [one for one in limits_of(connection, policy, scope) if one.in_force is not None]
        ahead = rate_waits.ahead(connection, deployments, payer) if holding else 0
        found += [_on_the_way(limit, needs[limit.name], ahead) for limit in holding]
    return sorted(found, key=lambda one: -(one.wait or 0.0))


def _on_the_way(limit: Limit, needed: int, ahead: int) -> LimitWait:
    most = limit.in_force
    wait = None
    if most and limit.name.endswith("_per_minute") and limit.seen is not None:
        over = (limit.used or 0) + needed * (ahead + 1) - most
        wait = max(0, over) * _A_MINUTE / most
    return LimitWait(limit=limit, needed=needed, ahead=ahead, wait=wait)
