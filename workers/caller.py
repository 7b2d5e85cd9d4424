"""The calls of claimed items: what is sent, what the reply is worth, and that each is settled."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from operator import itemgetter
from typing import Any

import structlog

from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.router.item import Latency
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
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.router.served_model import must_be_the_asked, same_model
from tierqueue.tasks.submission.item_task import ItemTask
from tierqueue.tasks.submission.task_type import least_confidence
from tierqueue.tasks.submission.validation import rejected, validate
from tierqueue.workers import egress
from tierqueue.workers.engines.engine import Call, caches
from tierqueue.workers.engines.stations import Station
from tierqueue.workers.leases import HeldItem, Leases
from tierqueue.workers.limits.bounds import Slot
from tierqueue.workers.limits.breaker import Breaker
from tierqueue.workers.prefixes import Prefixes
from tierqueue.workers.process.checkpoint import Checkpoint
from tierqueue.workers.process.event_loop import EventLoopThread
from tierqueue.workers.request import Contents, prepare, whole
from tierqueue.workers.settler import Settler, SettlingCall
from tierqueue.workers.verdicts import EndedCall

_log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 30.0
"""Seconds that a call waits at most for the first one of its prefix."""

SPARE_SECONDS = 1.0
"""Seconds before a call has to leave at which it waits for no other any more."""


class Caller:
    """Makes the calls of claimed items and hands each outcome to the settler, whatever happens.

    ``contents`` reads the bytes of images by their hashes.
    """

    def __init__(
        self,
        *,
        types: Mapping[str, Any],
        loop: EventLoopThread,
        leases: Leases,
        settler: Settler,
        breaker: Breaker,
        checkpoint: Checkpoint,
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
        is not sent any more, and its item given back. ``freed`` is told whenever calls are
        settled, and what came of each is counted in ``outcomes`` before.
        """
        all_settled = threading.Event()
        if not claims:
            all_settled.set()
            return all_settled
        deployment, left = station.deployment.name, len(claims)

        def settled(ended: Sequence[SettlingCall]) -> None:
            # Called from the settler's one thread only.
            nonlocal left
            left -= len(ended)
            self._leases.drop(deployment, [one.call.claim for one in ended])
            freed()
            if not left:
                all_settled.set()

        async def all_calls() -> None:
            loop = asyncio.get_running_loop()
            calls = [
                _InFlight(loop, station, claim, slots[claim.item.id], send_by) for claim in claims
            ]
            self._leases.take(
                deployment,
                {
                    call.claim.item.id: HeldItem(
                        call.claim.fence, call.slot.id, call.abort, call.slot.shared
                    )
                    for call in calls
                },
            )
            deadlines = _Deadlines(loop, calls)
            try:
                async with asyncio.TaskGroup() as group:
                    for call in calls:
                        group.create_task(self._one(call, settled, outcomes))
            finally:
                deadlines.close()

        self._checkpoint("before_call")
        self._loop.submit(all_calls()).add_done_callback(_loud)
        return all_settled

    async def _one(
        self,
        flight: "_InFlight",
        settled: Callable[[Sequence[SettlingCall]], None],
        outcomes: Counter[str],
    ) -> None:
        """Make one call and hand its outcome to the settler, whatever happens."""
        station, claim = flight.station, flight.claim
        deployment = station.deployment
        kind: ItemTask | None = self._types.get(claim.item.task)
        call: Call | Failed | Interrupted | None = None
        cut = False
        try:
            flight.begin()
            call = prepare(deployment, claim, kind, flight.send_by)
            if isinstance(call, Call) and call.images:
                call = await self._whole(call)
            if isinstance(call, Failed | Interrupted):
                outcome: Outcome = call
            else:
                reply = await self._reply(flight, call)
                outcome = judge(reply, claim, kind, deployment, call)
        except asyncio.CancelledError:
            cut = True
            why = flight.aborted or "drain"
            # What still waited for its turn was not sent.
            outcome = _cut(station, call, why) if flight.sent else Interrupted(kind=why)
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
            cancelled=flight.aborted == "cancelled",
        )
        self._settler.put(SettlingCall(ended, flight.slot, settled))

    async def _whole(self, call: Call) -> Call | Failed | Interrupted:
        """The call with the bytes of its images, or why it has none; nothing has been sent yet."""
        try:
            return await whole(call, self._contents)
        except Exception as error:  # noqa: BLE001 - the ledger is away: given back, as the claim is
            _log.warning("images_unread", item=call.item, error=type(error).__name__)
            return Interrupted(kind="images_unread")

    async def _reply(self, flight: "_InFlight", call: Call) -> Reply:
        """The reply to a call, in its turn."""
        prefix, most = _turn(flight.station, flight.claim, call)
        if prefix is None:
            return await flight.send(call)
        async with self._prefixes.in_turn(prefix, most) as answered:
            reply = await flight.send(call)
            if isinstance(reply, Completed):
                answered()
            return reply


class _InFlight:
    """One claimed call on its way; ``aborted`` says why it was ended here, where it was."""

    __slots__ = ("_loop", "_task", "aborted", "claim", "send_by", "sent", "slot", "station")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        station: Station,
        claim: Claim,
        slot: Slot,
        send_by: float,
    ) -> None:
        self.station = station
        self.claim = claim
        self.slot = slot
        self.send_by = send_by
        self.sent = False
        self.aborted: str | None = None
        self._loop = loop
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Be the task that runs; raises ``CancelledError`` where it was aborted before."""
        self._task = asyncio.current_task()
        if self.aborted is not None:
            raise asyncio.CancelledError

    def abort(self, why: str) -> None:
        """End the call, from any thread; the first reason stands."""
        if self.aborted is None:
            self.aborted = why
            # Where it has not begun it sees by itself that it need not.
            if (task := self._task) is not None:
                self._loop.call_soon_threadsafe(task.cancel)

    async def send(self, call: Call) -> Reply:
        """Have the engine answer; ``sent`` from when it may have left."""
        if time.monotonic() > call.send_by:
            return Interrupted(kind="too_late")
        self.sent = True
        return await self.station.engine.complete(call)


class _Deadlines:
    """Ends each call of a slice at its item's deadline, whatever its deployment allows it.

    One timer for all of them: one each would cost more than all else around a call.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, calls: Sequence[_InFlight]) -> None:
        self._loop = loop
        now = loop.time()
        due = [(now + left, call) for call in calls if (left := _left(call.claim)) is not None]
        self._due = sorted(due, key=itemgetter(0), reverse=True)
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    def close(self) -> None:
        """End nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        if self._due:
            self._timer = self._loop.call_at(self._due[-1][0], self._end)

    def _end(self) -> None:
        now = self._loop.time()
        while self._due and self._due[-1][0] <= now:
            self._due.pop()[1].abort("deadline")
        self._wait()


def _turn(station: Station, claim: Claim, call: Call) -> tuple[str | None, float]:
    """The prefix that the call shares, and for how many seconds it waits for the first of it.

    Where somebody waits for the item it does not; nor longer than it may before it has to leave.
    """
    engine = station.engine
    if claim.item.latency == Latency.INTERACTIVE or not caches(engine):
        return None, 0.0
    key = engine.cached_prefix(call)
    spare = max(0.0, call.send_by - time.monotonic() - SPARE_SECONDS)
    return key and f"{station.deployment.name} {key}", min(PATIENCE_SECONDS, spare)


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
    return max(0, claim.item.deadline - claim.started_at) / SECOND_US


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
    # Where a deployment never tells, the route has said what its answer is worth.
    if not isinstance(outcome, Accepted) or outcome.completed.confidence is not None:
        return outcome
    least = least_confidence(claim.arguments)
    if least is not None and deployment.tells_confidence:
        said = f"no probabilities came to measure the confidence of {least} asked for"
        return rejected(outcome.completed, [said], "low_confidence")
    return outcome
