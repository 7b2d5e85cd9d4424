"""The calls of claimed items: what is sent, what the reply is worth, and that each is settled."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pydantic import BaseModel

from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.router.errors import EgressRefused
from tierqueue.router.item import Sensitivity
from tierqueue.router.outcome import (
    Accepted,
    Completed,
    Failed,
    Interrupted,
    Outcome,
    Reply,
    Unknown,
    Usage,
)
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.served import must_be_the_asked, same_model
from tierqueue.tasks.answers import confidence, form
from tierqueue.tasks.submission.item_task import ItemTask
from tierqueue.tasks.submission.task_type import least_confidence
from tierqueue.tasks.submission.validation import rejected, validate
from tierqueue.workers import egress
from tierqueue.workers.engines.engine import Call, Engine
from tierqueue.workers.leases import Holding, Leases
from tierqueue.workers.limits.bounds import Slot
from tierqueue.workers.limits.breaker import Breaker
from tierqueue.workers.process.event_loop import EventLoopThread
from tierqueue.workers.settler import Ended, Settler
from tierqueue.workers.verdicts import EndedCall

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What one deployment is worked with in this process."""

    deployment: Deployment
    engine: Engine
    counted: bool = True
    """Whether what its calls cost counts towards ceilings."""


class Caller:
    """Makes the calls of claimed items and hands each outcome to the settler, whatever happens.

    ``checkpoint`` is called with the name of each point at which a test may end the process and
    does nothing otherwise.
    """

    def __init__(
        self,
        *,
        types: Mapping[str, Any],
        loop: EventLoopThread,
        leases: Leases,
        settler: Settler,
        breaker: Breaker,
        checkpoint: Callable[[str], None],
    ) -> None:
        self._types = types
        self._breaker = breaker
        self._loop = loop
        self._leases = leases
        self._settler = settler
        self._checkpoint = checkpoint

    def start(
        self,
        station: Station,
        claims: Sequence[Claim],
        slots: Mapping[str, Slot],
        send_by: float,
        freed: Callable[[], None],
        outcomes: Counter[str],
    ) -> threading.Event:
        """Start the calls of claimed items; the event is set when the last is settled.

        ``slots`` are the limiter's, by item id; what has not left ``send_by`` (monotonic seconds)
        is not sent any more, and its item given back. ``freed`` is told of each call that is
        settled, and what came of each is counted in ``outcomes`` before.
        """
        all_settled = threading.Event()
        if not claims:
            all_settled.set()
            return all_settled
        countdown = iter(range(len(claims) - 1, -1, -1))

        def settled() -> None:
            # Called from the settler's one thread only.
            freed()
            if next(countdown) == 0:
                all_settled.set()

        async def all_calls() -> None:
            async with asyncio.TaskGroup() as group:
                for claim in claims:
                    outcome = self._one(
                        station, claim, slots[claim.item.id], send_by, settled, outcomes
                    )
                    group.create_task(outcome)

        self._checkpoint("before_call")
        self._loop.submit(all_calls()).add_done_callback(_loud)
        return all_settled

    async def _one(
        self,
        station: Station,
        claim: Claim,
        slot: Slot,
        send_by: float,
        settled: Callable[[], None],
        outcomes: Counter[str],
    ) -> None:
        """Make one call and hand its outcome to the settler, whatever happens."""
        deployment = station.deployment
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        aborted: list[str] = []

        def abort(why: str) -> None:
            if not aborted:
                aborted.append(why)
                loop.call_soon_threadsafe(task.cancel)

        def done() -> None:
            self._leases.drop(deployment.name, claim.item.id, claim.fence)
            settled()

        self._leases.take(deployment.name, claim.item.id, Holding(claim.fence, slot.id, abort))
        kind: ItemTask | None = self._types.get(claim.item.task)
        call: Call | Failed | None = None
        cut = False
        try:
            call = prepare(deployment, claim, kind)
            if isinstance(call, Failed):
                outcome: Outcome = call
            elif time.monotonic() > send_by:
                outcome = Interrupted(kind="too_late")
            else:
                call = replace(call, send_by=send_by)
                outcome = judge(await station.engine.complete(call), claim, kind, deployment)
        except asyncio.CancelledError:
            task.uncancel()
            cut = True
            why = aborted[0] if aborted else "drain"
            if deployment.metered:
                outcome = Unknown(kind=why, message=f"the worker ended the call: {why}")
            else:
                taken = station.engine.spent(call) if isinstance(call, Call) else Usage()
                outcome = Interrupted(kind=why, usage=taken)
        except Exception as error:  # noqa: BLE001 - whatever it was, the claim must be settled
            _log.exception("call_failed", item=claim.item.id, error=type(error).__name__)
            kind_of, said = "internal_error", type(error).__name__
            if isinstance(call, Call):
                outcome = Unknown(kind=kind_of, message=said)
            else:  # nothing was sent, so nothing can be billed
                outcome = Failed(kind=kind_of, message=said, transient=False, reason="internal")
        outcomes[type(outcome).__name__.lower()] += 1
        # What we ended ourselves, or never sent, says nothing of the deployment.
        telling = isinstance(call, Call) and not cut
        if telling:
            self._breaker.ended(deployment.name, outcome)
        ended = EndedCall(
            claim=claim,
            deployment=deployment,
            outcome=outcome,
            telling=telling,
            cancelled=aborted == ["cancelled"],
        )
        self._settler.put(Ended(ended, slot, done))


def _loud(calls: Future[None]) -> None:
    """What went wrong beside the calls themselves; their leases end, and the tick books them."""
    if not calls.cancelled() and (error := calls.exception()) is not None:
        _log.error("calls_not_settled", exc_info=error)


def prepare(deployment: Deployment, claim: Claim, kind: ItemTask | None) -> Call | Failed:
    """The call to make, or why none may be made; nothing has been sent yet."""
    item = claim.item
    if kind is None:
        message = f"this worker does not know the task type {item.task}: set TIERQUEUE_IMPORTS"
        return Failed(
            kind="unknown_task_type", message=message, transient=False, reason="task_code"
        )
    try:
        egress.check(
            Sensitivity(item.sensitivity or Sensitivity.REGULATED), deployment.boundary, item.id
        )
    except EgressRefused as error:
        return Failed(kind="egress", message=error.message, transient=False, reason=error.reason)
    try:
        prompt = kind.prompt(claim.arguments)
        model = kind.output_model(claim.arguments)
        asked = form.asked_of(deployment, model)
    except Exception as error:  # noqa: BLE001 - a team's own code
        message = f"the prompt of {item.task} cannot be built: {type(error).__name__}"
        return Failed(kind="task_type", message=message, transient=False, reason="task_code")
    system = _joined(prompt.system, asked.words)
    return Call(
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
        timeout=deployment.timeout,
        labels={"attempt": str(item.calls + 1)},
    )


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


def judge(reply: Reply, claim: Claim, kind: ItemTask | None, deployment: Deployment) -> Outcome:
    """The outcome of a reply: an answer is validated, anything else speaks for itself.

    Another model's answer is refused where the deployment or the item's demands forbid it, and
    marked elsewhere.
    """
    if not isinstance(reply, Completed):
        return reply
    assert kind is not None
    item = claim.item
    if not same_model(deployment.model, reply.model_served, deployment.served_as):
        if deployment.served_model == "exact" or must_be_the_asked(item.risk, item.floor):
            return rejected(
                reply, ["another model answered than the one asked for"], reason="wrong_model"
            )
        reply = replace(reply, other_model=True)
    try:
        outcome = validate(kind, claim.arguments, reply)
    except Exception as error:  # noqa: BLE001 - a team's own check
        message = f"a check of {item.task} raised {type(error).__name__}"
        return Failed(
            kind="check", message=message, transient=False, reason="task_code", usage=reply.usage
        )
    least = least_confidence(claim.arguments)
    # Where a deployment never tells, the route has said what its answer is worth.
    if least is None or not deployment.tells_confidence or not isinstance(outcome, Accepted):
        return outcome
    if outcome.completed.confidence is None:
        said = f"no probabilities came to measure the confidence of {least} asked for"
        return rejected(outcome.completed, [said], "low_confidence")
    return outcome
