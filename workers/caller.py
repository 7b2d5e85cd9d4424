"""The calls of claimed items: what is sent, what the reply is worth, and that each is settled.

Also what they are made with, under one policy and the next: stations.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import structlog

from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.router.errors import Misconfigured
from tierqueue.router.item import Latency, Tier
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
from tierqueue.router.policy.policy import Policy
from tierqueue.router.served import must_be_the_asked, same_model
from tierqueue.tasks.submission.item_task import ItemTask
from tierqueue.tasks.submission.task_type import least_confidence
from tierqueue.tasks.submission.validation import rejected, validate
from tierqueue.workers import egress
from tierqueue.workers.engines.engine import Call, Engine, caches
from tierqueue.workers.leases import Holding, Leases
from tierqueue.workers.limits.bounds import Slot
from tierqueue.workers.limits.breaker import Breaker
from tierqueue.workers.prefixes import Prefixes
from tierqueue.workers.process.event_loop import EventLoopThread
from tierqueue.workers.request import Contents, prepare, whole
from tierqueue.workers.settler import Ended, Settler
from tierqueue.workers.verdicts import EndedCall

_log = structlog.get_logger(__name__)

BuildEngine = Callable[[Deployment, Mapping[str, str]], Engine]

PATIENCE = 30.0
"""Seconds that a call waits at most for the first one of its prefix."""

SPARE = 1.0
"""Seconds before a call has to leave at which it waits for no other any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What one deployment is worked with in this process."""

    deployment: Deployment
    engine: Engine
    counted: bool = True
    """Whether what its calls cost counts towards ceilings."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """Stations under another policy; ``new`` are engines that are not started yet."""

    stations: Mapping[str, Station]
    new: Sequence[Engine]
    keyless: frozenset[str]


def of_tier(policy: Policy, tier: Tier) -> list[Deployment]:
    """The deployments of a tier."""
    return [one for one in policy.deployments.values() if one.tier is tier]


def engines_of(
    deployments: Sequence[Deployment], build: BuildEngine, environ: Mapping[str, str]
) -> tuple[list[tuple[Deployment, Engine]], Mapping[str, Misconfigured]]:
    """The engines of all that ``environ`` has a key for, and why each other one has none."""
    built: list[tuple[Deployment, Engine]] = []
    refused: dict[str, Misconfigured] = {}
    for deployment in deployments:
        try:
            built.append((deployment, build(deployment, environ)))
        except Misconfigured as error:
            refused[deployment.name] = error
            _log.error("deployment_without_key", deployment=deployment.name, why=error.message)
    return built, refused


def renewed(
    stations: Mapping[str, Station],
    policy: Policy,
    tier: Tier,
    build: BuildEngine,
    environ: Mapping[str, str],
) -> Renewed:
    """The stations of ``policy``: where it says the same of a deployment, with the same engine.

    A deployment that is no more in it stays as it was, for what was handed over to its batches.
    Raises ``Misconfigured`` where an engine inside this process would have to be another one.
    """
    kept: dict[str, Station] = {}
    others: list[Deployment] = []
    for deployment in of_tier(policy, tier):
        station = stations.get(deployment.name)
        if station is not None and station.deployment.terms == deployment.terms:
            counted = policy.counts(deployment)
            kept[deployment.name] = replace(station, deployment=deployment, counted=counted)
        elif deployment.engine == "vllm":
            raise Misconfigured(
                f"the engine of {deployment.name} runs inside this process: restart it to load"
                " another one",
                {"deployment": deployment.name},
            )
        else:
            others.append(deployment)
    built, refused = engines_of(others, build, environ)
    for deployment, engine in built:
        kept[deployment.name] = Station(
            deployment=deployment, engine=engine, counted=policy.counts(deployment)
        )
    there = {name: station for name, station in stations.items() if name not in refused}
    return Renewed({**there, **kept}, [engine for _, engine in built], frozenset(refused))


class Caller:
    """Makes the calls of claimed items and hands each outcome to the settler, whatever happens.

    ``checkpoint`` is called with the name of each point at which a test may end the process and
    does nothing otherwise. ``contents`` reads the bytes of images by their hashes.
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
        contents: Contents,
    ) -> None:
        self._types = types
        self._contents = contents
        self._breaker = breaker
        self._loop = loop
        self._leases = leases
        self._settler = settler
        self._checkpoint = checkpoint
        self._prefixes = Prefixes()

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

        holding = Holding(claim.fence, slot.id, abort, slot.shared)
        self._leases.take(deployment.name, claim.item.id, holding)
        kind: ItemTask | None = self._types.get(claim.item.task)
        call: Call | Failed | Interrupted | None = None
        cut = False
        sent: list[Call] = []
        try:
            call = await self._whole(prepare(deployment, claim, kind, send_by))
            if isinstance(call, Failed | Interrupted):
                outcome: Outcome = call
            else:
                # The flex tier says nothing for as long as it has no capacity.
                first = None if call.flex else deployment.first_token_timeout
                call = call if first is None else replace(call, first_token=first)
                reply = await self._reply(station, claim, call, sent)
                outcome = judge(reply, claim, kind, deployment, call)
        except (asyncio.CancelledError, TimeoutError) as ended_by:
            # The item's deadline ends a call whatever its deployment allows it.
            late = isinstance(ended_by, TimeoutError)
            if not late:
                task.uncancel()
            cut = True
            why = "deadline" if late else aborted[0] if aborted else "drain"
            # What still waited for its turn was not sent.
            outcome = _cut(station, call, why) if sent else Interrupted(kind=why)
        except Exception as error:  # noqa: BLE001 - whatever it was, the claim must be settled
            _log.exception("call_failed", item=claim.item.id, error=type(error).__name__)
            kind_of, said = "internal_error", type(error).__name__
            if isinstance(call, Call):
                outcome = Unknown(kind=kind_of, message=said)
            else:  # nothing was sent, so nothing can be billed
                outcome = Failed(kind=kind_of, message=said, transient=False, reason="internal")
        outcomes[type(outcome).__name__.lower()] += 1
        # What we ended ourselves, or never sent, says nothing of the deployment.
        # Nor does what the flex tier loses say anything of the others.
        flex_lost = isinstance(call, Call) and call.flex and isinstance(outcome, Unknown)
        telling = isinstance(call, Call) and not cut and not flex_lost
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

    async def _whole(self, call: Call | Failed) -> Call | Failed | Interrupted:
        """The call with the bytes of its images, or why it has none; nothing has been sent yet."""
        if isinstance(call, Failed):
            return call
        try:
            return await whole(call, self._contents)
        except Exception as error:  # noqa: BLE001 - the ledger is away: given back, as the claim is
            _log.warning("images_unread", item=call.item, error=type(error).__name__)
            return Interrupted(kind="images_unread")

    async def _reply(self, station: Station, claim: Claim, call: Call, sent: list[Call]) -> Reply:
        """The reply to a call, in its turn; ``sent`` has it from when it may have left."""
        turn = self._prefixes.in_turn(*_turn(station, claim, call))
        async with asyncio.timeout(_left(claim)), turn as answered:
            if time.monotonic() > call.send_by:
                return Interrupted(kind="too_late")
            sent.append(call)
            reply = await station.engine.complete(call)
            if isinstance(reply, Completed):
                answered()
            return reply


def _turn(station: Station, claim: Claim, call: Call) -> tuple[str | None, float]:
    """The prefix that the call shares, and for how many seconds it waits for the first of it.

    Where somebody waits for the item it does not; nor longer than it may before it has to leave.
    """
    engine = station.engine
    if claim.item.latency == Latency.INTERACTIVE or not caches(engine):
        return None, 0.0
    key = engine.cached_prefix(call)
    spare = max(0.0, call.send_by - time.monotonic() - SPARE)
    return key and f"{station.deployment.name} {key}", min(PATIENCE, spare)


def _cut(station: Station, call: Call | Failed | Interrupted | None, why: str) -> Outcome:
    """What a call is that this worker ended."""
    if station.deployment.metered:
        return Unknown(kind=why, message=f"the worker ended the call: {why}")
    taken = station.engine.spent(call) if isinstance(call, Call) else Usage()
    return Interrupted(kind=why, usage=taken)


def _left(claim: Claim) -> float | None:
    """Seconds from its claim until an item's deadline; ``None``: it has none."""
    if claim.item.deadline is None:
        return None
    return max(0, claim.item.deadline - claim.started_at) / 1_000_000


def _loud(calls: Future[None]) -> None:
    """What went wrong beside the calls themselves; their leases end, and the tick books them."""
    if not calls.cancelled() and (error := calls.exception()) is not None:
        _log.error("calls_not_settled", exc_info=error)


def judge(
    reply: Reply,
    claim: Claim,
    kind: ItemTask | None,
    deployment: Deployment,
    call: Call | None = None,
) -> Outcome:
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
        if call is not None and deployment.redact is not None:
            as_json = kind.output_model(claim.arguments) is not None
            text, wrong = egress.restored(call, reply.text, deployment.redact, as_json=as_json)
            # The probabilities are those of the pseudonyms.
            tokens = reply.tokens if text == reply.text else ()
            many = len(call.originals)
            reply = replace(reply, text=text, tokens=tokens, redacted=many)
            if wrong is not None:
                return rejected(reply, [wrong])
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
