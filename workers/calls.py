"""One call: what is sent for a claimed item, and what its reply is worth."""

from tierqueue.ledger.claims import Claim
from tierqueue.router.deployment import Deployment
from tierqueue.router.errors import EgressRefused
from tierqueue.router.item import Sensitivity
from tierqueue.router.outcome import Completed, Failed, Outcome, Reply
from tierqueue.tasks.base import ItemTask
from tierqueue.workers import egress
from tierqueue.workers.engine import Call
from tierqueue.workers.validation import validate


def prepare(deployment: Deployment, each: Claim, kind: ItemTask | None) -> Call | Failed:
    """The call to make, or why none may be made; nothing has been sent yet."""
    item = each.item
    if kind is None:
        message = f"this worker does not know the task type {item.task}: set TIERQUEUE_IMPORTS"
        return Failed(kind="unknown task type", message=message, transient=False)
    try:
        egress.check(Sensitivity(item.sensitivity), deployment.boundary, item.id)
    except EgressRefused as error:
        return Failed(kind="egress", message=error.message, transient=False, reason=error.reason)
    try:
        prompt = kind.prompt(item.arguments)
        model = kind.output_model(item.arguments)
    except Exception as error:  # noqa: BLE001 - a team's own code
        message = f"the prompt of {item.task} cannot be built: {type(error).__name__}"
        return Failed(kind="task type", message=message, transient=False)
    return Call(
        item=item.id,
        fence=each.fence,
        model=deployment.model,
        system=prompt.system,
        prefix=prompt.prefix,
        question=prompt.question,
        schema=None if model is None else kind.json_schema(model),
        schema_name="" if model is None else model.__name__,
        output_limit=item.output_limit,
        timeout=deployment.timeout,
        labels={"attempt": str(item.calls + 1)},
    )


def judge(reply: Reply, each: Claim, kind: ItemTask | None) -> Outcome:
    """The outcome of a reply: an answer is validated, anything else speaks for itself."""
    if not isinstance(reply, Completed):
        return reply
    assert kind is not None
    try:
        return validate(kind, each.item.arguments, reply)
    except Exception as error:  # noqa: BLE001 - a team's own check
        message = f"a check of {each.item.task} raised {type(error).__name__}"
        return Failed(kind="check", message=message, transient=False, usage=reply.usage)
