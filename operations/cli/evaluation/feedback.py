"""``tierqueue feedback``: whether an item's answer was right, and what would have been."""

from __future__ import annotations

import json
from typing import Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import item_named
from tierqueue.operations.cli.input.operator import operator
from tierqueue.operations.cli.input.options import read_text, task_types
from tierqueue.operations.cli.output.printing import echo, emit, json_option


@click.command(
    epilog="Example: tierqueue feedback 01a1fb7f-603c-71c9-9671-39b7af6c9a05 --corrected card"
)
@click.argument("item_id", metavar="ITEM")
@click.option("--correct/--wrong", default=None, help="Whether its answer is right.")
@click.option(
    "--corrected", metavar="OUTPUT", help="What it should have been: JSON, a text, or @FILE."
)
@json_option
def feedback(item_id: str, correct: bool | None, corrected: str | None, as_json: bool) -> None:
    """Say that the answer of ITEM is right, or wrong, or what it should have been.

    The last word counts. It is kept beside the item and goes with it (erase, retention). A wrong
    answer counts where work is routed as one that was not accepted, and a surrogate learns what
    would have been right.
    """
    from tierqueue.tasks.evaluation.feedback import feedback as give

    task_types()
    output = None if corrected is None else output_of(read_text(corrected) or "")
    with open_ledger() as ledger:
        with ledger.read() as connection:
            item_id = item_named(connection, item_id)
        give(item_id, correct=correct, corrected_output=output, by=operator())
    if as_json:
        emit({"item": item_id, "correct": bool(correct), "corrected": output is not None})
    else:
        said = "right" if correct else "wrong"
        echo(f"item {item_id}: its answer was {said}" + (", and corrected" if corrected else ""))


def output_of(text: str) -> Any:
    """An output as people write it: JSON, and what is none is a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
