"""A team's own task type, whole: how urgent is a ticket, and who should look at it?

Put its module into TIERQUEUE_IMPORTS of the routing stage and the workers; producers import it and
call ``triage.delay("The lift is stuck between two floors")``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Unpack

from pydantic import BaseModel, ConfigDict, Field

from tierqueue.tasks import Demands, Doubt, Prompt, item_task


class Triage(BaseModel):
    """What an answer must be; anything else is refused and tried one tier up."""

    model_config = ConfigDict(extra="forbid")

    urgency: Literal["now", "today", "this week", "whenever"]
    team: Literal["building", "computers", "people", "money"]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


def _urgent_says_why(arguments: Mapping[str, Any], answer: Triage) -> str | None:
    if answer.urgency == "now" and len(answer.reason.split()) < arguments["reason_words"]:
        return Doubt("somebody is to be woken up, and the reason does not say enough")
    return None


@item_task(
    "office.triage", output=Triage, checks=[_urgent_says_why], risk="internal", deadline="15m"
)
def triage(
    ticket: Annotated[str, Field(min_length=1)],
    reason_words: Annotated[int, Field(ge=1, le=20)] = 3,
    **_demands: Unpack[Demands],
) -> Prompt:
    """Say how urgent ``ticket`` is, whose it is, and why."""
    return Prompt(
        system="You sort what comes in at the front desk. Be brief, and calm.",
        prefix="Urgency: now only where somebody is in danger or nobody can work.\n",
        question=f"Give at least {reason_words} words of reason.\nTicket:\n{ticket}",
    )
