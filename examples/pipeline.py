"""A letter through four steps: sorted, read, checked by a cheaper model, and answered.

One ceiling, one deadline and one sensitivity hold for all four. The steps wait in the ledger, so
that no process has to stay for them, and each refers to what the ones before it were given and
have answered instead of carrying it along. Put this module and ``examples.triage`` into
TIERQUEUE_IMPORTS of the routing stage and the workers; a producer calls ``answered(letter, name)``.
"""

import json
from typing import Annotated, Any, Unpack
from uuid import NAMESPACE_URL, uuid5

from celery import chain
from pydantic import BaseModel, ConfigDict, Field

from examples.triage import triage
from tierqueue.tasks import (
    Demands,
    ItemResult,
    Prompt,
    answer_of,
    argument_of,
    extract,
    item_task,
    pipeline,
)

FIELDS = {"tenant": "string", "flat": "string", "asks_for": "string"}


class Checked(BaseModel):
    """Whether the fields say what the letter says, and what is wrong with them."""

    model_config = ConfigDict(extra="forbid")

    right: bool
    objections: Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=5)]


class Draft(BaseModel):
    """A reply, for a person to send."""

    model_config = ConfigDict(extra="forbid")

    reply: Annotated[str, Field(min_length=1, max_length=4_000)]


@item_task("office.check", output=Checked, risk="internal")
def check(letter: str, fields: dict[str, Any], **_demands: Unpack[Demands]) -> Prompt:
    """Say whether ``fields`` were read from ``letter`` rightly."""
    return Prompt(
        system="You check what somebody else has read. Object to what the letter does not say.",
        prefix=f"Letter:\n{letter}\n",
        question=f"Fields:\n{json.dumps(fields, ensure_ascii=False)}",
    )


@item_task("office.draft", output=Draft, risk="customer_facing", output_limit=1_024)
def draft(
    letter: str,
    sorted_as: dict[str, Any],
    fields: dict[str, Any],
    checked: dict[str, Any],
    **_demands: Unpack[Demands],
) -> Prompt:
    """Draft the reply to ``letter``, from what the steps before have found."""
    known = {"sorted": sorted_as, "fields": fields, "check": checked}
    return Prompt(
        system="You draft replies to tenants. Ask back for whatever was objected to.",
        prefix="",
        question=f"Letter:\n{letter}\n\nKnown:\n{json.dumps(known, ensure_ascii=False)}",
    )


def answered(letter: str, name: str, max_cost: str = "0.05usd") -> ItemResult[Draft]:
    """Submit the four steps; the result is the last one's.

    ``name`` is the letter's, and the whole of it is done once: the same call again, after a kill in
    the middle of it, finds the steps that are there.
    """
    shared = pipeline(name, max_cost=max_cost, deadline="1h", sensitivity="internal")
    first, second, third, last = (
        str(uuid5(NAMESPACE_URL, f"{name}/{step}")) for step in ("sort", "read", "check", "draft")
    )
    told = argument_of(first, "ticket")
    chain(
        triage.s(letter, **shared).set(task_id=first),
        # Read by a better model, and checked by the cheapest that may.
        extract.si(told, FIELDS, floor="open_weight", **shared).set(task_id=second),
        check.si(told, answer_of(second), **shared).set(task_id=third),
        draft.si(told, answer_of(first), answer_of(second), answer_of(third), **shared).set(
            task_id=last
        ),
    ).apply_async()
    return draft.AsyncResult(last)
