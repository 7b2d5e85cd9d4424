"""The request of a claimed item: what is sent to a deployment, or why nothing may be."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf

from pydantic import BaseModel

from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.router.errors import EgressRefused
from tierqueue.router.item import Sensitivity
from tierqueue.router.outcome import Failed
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.lanes import Lane
from tierqueue.router.pricing import engine_seconds
from tierqueue.tasks.answers import confidence, form
from tierqueue.tasks.submission.image import NamedImage
from tierqueue.tasks.submission.item_task import ItemTask
from tierqueue.tasks.submission.prompt import Prompt
from tierqueue.workers import egress
from tierqueue.workers.engines.engine import Call, SentImage

Contents = Callable[[Sequence[str]], Mapping[str, bytes]]
"""Reads the bytes of images by their hashes; some may be kept no more."""


def prepare(
    deployment: Deployment, claim: Claim, kind: ItemTask | None, send_by: float = inf
) -> Call | Failed:
    """The call to make, or why none may be made; nothing has been sent yet.

    ``send_by`` as for the call.
    """
    item = claim.item
    if kind is None:
        message = f"this worker does not know the task type {item.task}: set TIERQUEUE_IMPORTS"
        return Failed(
            kind="unknown_task_type", message=message, transient=False, reason="task_code"
        )
    try:
        sensitivity = Sensitivity(item.sensitivity or Sensitivity.REGULATED)
        egress.check(sensitivity, deployment.boundary, item.id)
    except EgressRefused as error:
        return Failed(kind="egress", message=error.message, transient=False, reason=error.reason)
    try:
        prompt = kind.prompt(claim.arguments)
        if claim.item.prompt is not None:
            prompt = _under(prompt, claim)
        model = kind.output_model(claim.arguments)
        asked = form.asked_of(deployment, model)
        images = [_sent(NamedImage.read(str(name))) for name in prompt.images]
    except Exception as error:  # noqa: BLE001 - a team's own code
        message = f"the prompt of {item.task} cannot be built: {type(error).__name__}"
        return Failed(kind="task_type", message=message, transient=False, reason="task_code")
    if images and not deployment.vision:
        message = f"deployment {deployment.name} takes no images; nothing was sent"
        return Failed(kind="vision", message=message, transient=False, reason="no_route")
    system = _joined(prompt.system, asked.words)
    flex = deployment.flex if item.lane == Lane.FLEX else None
    call = Call(
        item=item.id,
        fence=claim.fence,
        model=deployment.model,
        system=system if deployment.system_message else "",
        prefix=prompt.prefix if deployment.system_message else _joined(system, prompt.prefix),
        question=prompt.question,
        schema=asked.schema,
        schema_name=asked.name,
        json_object=asked.json_object,
        alternatives=_alternatives(deployment, claim, model),
        temperature=deployment.temperature,
        output_limit=_output_limit(deployment, claim),
        timeout=deployment.timeout if flex is None else flex.timeout,
        # The flex tier says nothing for as long as it has no capacity.
        first_token=deployment.first_token_timeout if flex is None else None,
        flex=flex is not None,
        send_by=send_by,
        engine_seconds=engine_seconds(deployment, claim.held) if claim.counted else inf,
        adapter=deployment.adapters.get(item.task),
        labels={"attempt": str(item.calls + 1)},
        images=images,
    )
    if deployment.redact is None:
        return call
    try:
        return egress.redacted(call, deployment.redact)
    except EgressRefused as error:
        return Failed(kind="egress", message=error.message, transient=False, reason=error.reason)


async def whole(call: Call, contents: Contents) -> Call | Failed:
    """The call with the bytes of its images, or why it has none; nothing has been sent yet.

    Raises what ``contents`` does where the ledger cannot be asked.
    """
    if not call.images:
        return call
    wanted = [image.sha256 for image in call.images]
    found = await asyncio.to_thread(contents, wanted)
    if missing := [sha256 for sha256 in wanted if sha256 not in found]:
        message = f"image {missing[0][:12]} is not kept any more; nothing was sent"
        return Failed(kind="image_gone", message=message, transient=False, reason="internal")
    images = [replace(image, body=found[image.sha256]) for image in call.images]
    return replace(call, images=images)


def _under(prompt: Prompt, claim: Claim) -> Prompt:
    """The prompt with the instruction that the item is asked under."""
    if claim.system is None:
        raise LookupError("the ledger does not have its instruction")
    return replace(prompt, system=claim.system)


def _sent(image: NamedImage) -> SentImage:
    return SentImage(image.sha256, image.media_type)


def _alternatives(
    deployment: Deployment, claim: Claim, model: type[BaseModel] | None
) -> int | None:
    """How many alternatives of each token are asked for; ``None``: no probabilities at all.

    Of a free text they are many and tell little, so that only who holds them against a
    ``min_confidence`` gets them.
    """
    if not deployment.tells_confidence:
        return None
    if model is None and not claim.arguments.get("min_confidence"):
        return None
    most = deployment.top_logprobs or confidence.ALTERNATIVES
    return min(confidence.asked_for(model), most)


def _joined(*parts: str) -> str:
    return "\n\n".join(filter(None, parts))


def _output_limit(deployment: Deployment, claim: Claim) -> int:
    """The item's own limit and the deployment's headroom; never above what the route held."""
    limit: int = claim.item.output_limit + deployment.reasoning_tokens
    held = (claim.item.route or {}).get("output_tokens")
    return limit if held is None else min(limit, held)
