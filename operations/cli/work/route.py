"""``tierqueue route``: a routing decision, without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tierqueue.operations.cli.input.ledger_access import ledger_complaint, open_ledger
from tierqueue.operations.cli.input.options import demand_options, given, read_arguments, task_named
from tierqueue.operations.cli.input.policies import applied_or_file, read_policy
from tierqueue.operations.cli.output.printing import emit, json_option, paragraph, record
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.durations import duration

if TYPE_CHECKING:
    from tierqueue.ledger.lifecycle.items import NewItem
    from tierqueue.ledger.session import Transaction
    from tierqueue.operations.limits import LimitWait
    from tierqueue.router.policy.defaults import RuleTable, TaskDefaults
    from tierqueue.router.policy.policy import Policy
    from tierqueue.router.route import Route

_T = TypeVar("_T")

_A_MODELS = "a floor of its own or one above gpu, a min_confidence or an image"
"""What neither rules nor a surrogate answer."""


@click.command(
    epilog='Example: tierqueue route --explain --task tierqueue.classify --set "text=My card is'
    ' lost" --set labels=card,login --risk internal --sensitivity public'
)
@click.option("--task", "name", required=True, help="Such as tierqueue.classify.")
@click.option("--set", "--arg", "texts", multiple=True, metavar="NAME=VALUE", help="Or NAME=@file.")
@click.option("--policy", "path", type=click.Path(dir_okay=False), help="Else TIERQUEUE_POLICY.")
@click.option("--max-cost", help="Of this item, such as 0.01usd.")
@click.option("--explain", is_flag=True, help="Say why, and why not the others.")
@demand_options
@json_option
def route(
    name: str,
    texts: tuple[str, ...],
    path: str | None,
    max_cost: str | None,
    explain: bool,
    as_json: bool,
    demands: Mapping[str, Any],
) -> None:
    """Print where an item would go: exit 0 with a route, 1 with the reason why there is none."""
    from tierqueue.ledger.lifecycle.items import new_id
    from tierqueue.router.choose import Conditions
    from tierqueue.router.route import Route
    from tierqueue.tasks.kinds.in_pieces import foreseen
    from tierqueue.tasks.routing.forecast.decision import decision_of, this_moment

    policy = _policy(path)
    task = task_named(name)
    demands = {**demands, **given(max_cost=max_cost)}
    new = task.new_item((), {**read_arguments(task, texts), **demands}, item_id=new_id())
    decision = decision_of(new, policy)
    long = foreseen(task, new.arguments, demands, policy, Conditions(now=this_moment()))
    document = {} if long is None else {"document": long.why}
    if isinstance(decision, Route):
        first = _asked_first(new, policy)
        limits = _limits(new, policy, decision)
        if as_json:
            told = record(decision.to_json(), money=("bound",))
            told["simulated"] = decision.deployment in policy.simulated
            said = [_limit_for_scripts(one) for one in limits]
            emit({"route": told, "asked_first": first, "limits": said, "error": None, **document})
        else:
            chosen, *reasons = decision.explain(policy.simulated)
            lines = [chosen, *first, *reasons, *_both_ways(document), *map(_limit_told, limits)]
            for line in lines if explain else [chosen]:
                paragraph("", line)
        return
    if as_json:
        refusal = {
            "reason": decision.reason,
            "message": decision.message,
            "fields": decision.fields,
        }
        emit({"route": None, "error": refusal, **document})
    else:
        paragraph("", decision.message)
        for refused in decision.fields.get("refusals", []) if explain else []:
            who = marked(refused["deployment"], refused["deployment"] in policy.simulated)
            paragraph("", f"not {who}: {refused['why']}")
        for line in _both_ways(document) if explain else []:
            paragraph("", line)
    raise click.exceptions.Exit(1)


def _asked_first(new: NewItem, policy: Policy) -> list[str]:
    """Who may answer such items below the tiers, in words."""
    usual = policy.tasks.get(new.task)
    said = []
    off = _off(usual)
    if usual is not None and usual.rules is not None and usual.rules.version not in off:
        said.append(f"but first: {_ruled(new, usual.rules, policy)}")
    if usual is not None and usual.reuse is not None:
        life = duration(usual.reuse / SECOND_US)
        said.append(f"but first: what was accepted for an identical item in the last {life}")
    if usual is not None and usual.surrogate is not None and usual.surrogate.version not in off:
        said.append(f"but first: {_certified(new, usual.surrogate.version, policy)}")
    return said


def _limits(new: NewItem, policy: Policy, chosen: Route) -> Sequence[LimitWait]:
    """What bounds its call beside others', by what the ledger knows; nothing without one."""
    from tierqueue.operations.limits import on_the_way
    from tierqueue.tasks.routing.decide import demands_of
    from tierqueue.tasks.routing.forecast.decision import this_moment

    budget = demands_of(new, policy, this_moment()).budget
    return _of_the_ledger(lambda connection: on_the_way(connection, policy, chosen, budget)) or ()


def _limit_told(one: LimitWait) -> str:
    kind, name = one.limit.whose
    used = "nobody knows how much is used" if one.limit.used is None else f"{one.limit.used:,} used"
    wait = ""
    if one.wait is not None:
        wait = f", a wait of about {duration(one.wait)}" if one.wait else ", no wait"
    return (
        f"{kind} {name}: {one.limit.name} {one.limit.in_force:,}, of which {used}, {one.needed:,}"
        f" for this call, {one.ahead:,} items ahead{wait}"
    )


def _limit_for_scripts(one: LimitWait) -> dict[str, Any]:
    kind, name = one.limit.whose
    return {
        "kind": kind,
        "name": name,
        "limit": one.limit.name,
        "in_force": one.limit.in_force,
        "used": one.limit.used,
        "needed": one.needed,
        "ahead": one.ahead,
        "wait_seconds": None if one.wait is None else round(one.wait, 1),
    }


def _policy(path: str | None) -> Policy:
    """Of the file at ``path``, else the one in force, else (no ledger) ``TIERQUEUE_POLICY``'s."""
    if path is None and (found := _of_the_ledger(applied_or_file)) is not None:
        return found
    return read_policy(path)[0]


def _of_the_ledger(ask: Callable[[Transaction], _T]) -> _T | None:
    """What it answers; ``None`` where no ledger can be asked."""
    from tierqueue.router.errors import LedgerMismatch, Misconfigured

    try:
        with open_ledger() as ledger, ledger.read() as connection:
            return ask(connection)
    except (Misconfigured, LedgerMismatch):
        return None
    except Exception as error:
        if ledger_complaint(error) is None:
            raise
        return None


def _off(usual: TaskDefaults | None) -> set[str]:
    """Which of a task type's rules and surrogate are out of service; none where no ledger can be
    asked.
    """
    from tierqueue.ledger.in_force import surrogates

    stated = (None, None) if usual is None else (usual.rules, usual.surrogate)
    versions = [one.version for one in stated if one is not None]
    if not versions:
        return set()
    off = _of_the_ledger(lambda connection: surrogates.switched_off(connection, versions))
    return {one.version for one in off or ()}


def _ruled(new: NewItem, stated: RuleTable, policy: Policy) -> str:
    """What rules make of the item; raises ``Misconfigured`` where they cannot be used."""
    from tierqueue.tasks.routing.below import wants_a_model
    from tierqueue.tasks.routing.decide import demands_of
    from tierqueue.tasks.routing.forecast.decision import this_moment
    from tierqueue.tasks.routing.rules.serving import in_service

    rules = f"the rules {stated.name} ({stated.version})"
    if wants_a_model(new, demands_of(new, policy, this_moment()).floor):
        return f"{rules}, which leave it alone: it has {_A_MODELS}"
    there = in_service(policy, new.task)
    assert there is not None
    found = there.answer(task_named(new.task), new.arguments)
    if found is None:
        return f"{rules}, which have no answer to it: {there.why_none(new.arguments)}"
    return f"{rules}, which answer {json.dumps(found[1], ensure_ascii=False)}"


def _certified(new: NewItem, version: str, policy: Policy) -> str:
    """What a surrogate makes of the item; raises ``Misconfigured`` where it cannot be loaded."""
    from tierqueue.tasks.routing.below import wants_a_model
    from tierqueue.tasks.routing.decide import demands_of
    from tierqueue.tasks.routing.forecast.decision import this_moment
    from tierqueue.tasks.routing.surrogates import Surrogates

    floor = demands_of(new, policy, this_moment()).floor
    if wants_a_model(new, floor):
        return f"{version}, which leaves it alone: it has {_A_MODELS}"
    surrogates = Surrogates(policy)
    found = surrogates.offer(new, floor, new.arguments, ())
    if found is None:
        return f"{version}, which defers it: {surrogates.why_none(new.task, new.arguments)}"
    return f"{version}, which answers {json.dumps(found.output, ensure_ascii=False)}"


def _both_ways(document: Mapping[str, str]) -> list[str]:
    return [f"as a {name}: {why}" for name, why in document.items()]
