"""``tierqueue route``: a routing decision, without running anything."""

from datetime import UTC, datetime
from typing import Any

import click

from tierqueue.operations.cli.input.options import demand_options, given, read_arguments, task_named
from tierqueue.operations.cli.output.printing import emit, json_option, paragraph, record
from tierqueue.operations.cli.system.policy import read_policy
from tierqueue.router.signals import measure


@click.command(
    epilog='Example: tierqueue route --explain --task tierqueue.classify --arg "text=My card is'
    ' lost" --arg labels=card,login --risk internal --sensitivity public'
)
@click.option("--task", "name", required=True, help="Such as tierqueue.classify.")
@click.option("--arg", "texts", multiple=True, metavar="NAME=VALUE", help="Or NAME=@file.")
@click.option("--policy", "path", type=click.Path(dir_okay=False), help="Else TIERQUEUE_POLICY.")
@click.option("--max-cost", help="Of this item, such as 0.01usd.")
@click.option("--explain", is_flag=True, help="Say why, and why not the others.")
@demand_options
@json_option
def route(
    name: str,
    texts: tuple[str, ...],
    path: str | None,
    explain: bool,
    as_json: bool,
    **demands: Any,
) -> None:
    """Print where an item would go: exit 0 with a route, 1 with the reason why there is none."""
    from tierqueue.ledger.lifecycle.items import new_id
    from tierqueue.router.choose import Conditions, choose
    from tierqueue.router.route import Route
    from tierqueue.tasks.jobs.quote import work_item
    from tierqueue.tasks.routing.token_counter import TokenCounter

    policy, _ = read_policy(path)
    task = task_named(name)
    new = task.new_item((), {**read_arguments(task, texts), **given(demands)}, item_id=new_id())
    now = round(datetime.now(UTC).timestamp() * 1_000_000)
    item = work_item(new, policy, now)
    signals = measure(item, TokenCounter(policy).count(new.task, new.arguments))
    decision = choose(item, signals, policy, Conditions(now=now))
    if isinstance(decision, Route):
        if as_json:
            emit({"route": record(decision.to_json(), money=("bound",)), "error": None})
        else:
            lines = decision.explain()
            for line in lines if explain else lines[:1]:
                paragraph("", line)
        return
    if as_json:
        refusal = {
            "reason": decision.reason,
            "message": decision.message,
            "fields": decision.fields,
        }
        emit({"route": None, "error": refusal})
    else:
        paragraph("", decision.message)
        for refused in decision.fields.get("refusals", []) if explain else []:
            paragraph("", f"not {refused['deployment']}: {refused['why']}")
    raise click.exceptions.Exit(1)
