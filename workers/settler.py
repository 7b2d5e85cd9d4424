"""The settler: attempts end one by one, and are settled together in one transaction."""

import queue
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.lifecycle import settlements
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.router.outcome import (
    Accepted,
    Failed,
    FlexRefused,
    Interrupted,
    Rejected,
    Throttled,
    Unavailable,
    Usage,
)
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.settle.decide import settlement
from tierqueue.workers.alerts.bills import Alarms
from tierqueue.workers.alerts.hook import Message
from tierqueue.workers.alerts.observer import Observer
from tierqueue.workers.limits.bounds import CallUsage, Slot
from tierqueue.workers.limits.breaker import Breaker
from tierqueue.workers.process.checkpoint import Checkpoint
from tierqueue.workers.verdicts import EndedCall, Judge

_log = structlog.get_logger(__name__)

MOST = 256
"""Most attempts settled in one transaction."""

AGAIN_SECONDS = 0.5
"""Seconds before a ledger that could not be asked is asked again."""


@dataclass(frozen=True, slots=True)
class SettlingCall:
    """A call that ended and its limiter slot; ``done`` is called once it is settled, with all of
    a batch that have the same.

    ``at``: when it had ended, in monotonic seconds.
    """

    call: EndedCall
    slot: Slot
    done: Callable[[Sequence["SettlingCall"]], None]
    at: float = field(default_factory=time.monotonic, compare=False)

    def spent(self) -> CallUsage:
        """What its slot's bound has come to."""
        return self._spent()._replace(over=self.at)

    def _spent(self) -> CallUsage:
        match self.call.outcome:
            case Accepted(completed=completed):
                return self._used(completed.usage)
            case Rejected(usage=usage) | Failed(usage=usage, transient=False):
                return self._used(usage)
            case Throttled(over=over):
                # Where nobody says of which limit it is, fewer calls help against each.
                return CallUsage(self.slot, refused=over or "requests")
            case FlexRefused():
                return CallUsage(self.slot, sent=False)
            case Unavailable(overloaded=True):
                return CallUsage(self.slot, refused="requests")
            case Interrupted(kind="too_late"):
                return CallUsage(self.slot, sent=False)
        # It may have been read and answered all the same.
        return CallUsage(self.slot)

    def _used(self, usage: Usage) -> CallUsage:
        # What Anthropic serves from its prompt cache counts towards none of its limits.
        cached = usage.cache_read_tokens if self.call.deployment.engine == "anthropic" else 0
        return CallUsage(
            self.slot, (usage.total_input - cached, usage.output_tokens), cached=cached
        )


class Settler:
    """One thread a process. What ends while a transaction runs is settled by the next one.

    ``free`` gives the limiter slots of a batch back; ``notify`` is called after each commit with
    the items that ended and their promises, ``hook`` of each bill above its bound (nano-dollars)
    and of other models than were asked for. ``wake`` has the routing stage check, where some item
    of a commit goes on or a deployment is held back otherwise than before: what has ended is no
    reason, and a wake with the round it causes costs more than a call does.
    A ledger that cannot be asked is asked again until it answers or the process ends: by then the
    lease has ended and the tick has booked the attempt.

    ``stale``: how many settlements came too late, ``ended``: how many items ended by one,
    ``ended_at``: when the last did, in epoch microseconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        breaker: Breaker,
        free: Callable[[Sequence[SettlingCall]], None],
        notify: Callable[[Ends], None],
        wake: Callable[[], None],
        hook: Callable[[Message], None],
        checkpoint: Checkpoint,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._judge = Judge(ledger, breaker)
        self._free = free
        self._notify = notify
        self._wake = wake
        self._alarms = Alarms(hook)
        self._observing = Observer(ledger, hook)
        self._checkpoint = checkpoint
        self._queue: queue.SimpleQueue[SettlingCall | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
        self.stale = 0
        self.ended = 0
        self.ended_at = 0

    def use(self, policy: Policy) -> None:
        """Settle by another policy from now on."""
        self._policy = policy

    def start(self) -> None:
        """Start settling."""
        self._thread.start()

    def put(self, ended: SettlingCall) -> None:
        """Settle this soon; returns at once, from any thread."""
        self._queue.put(ended)

    def stop(self, timeout: float) -> None:
        """Settle what was put, then end; waits at most ``timeout`` seconds."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch: list[SettlingCall] = []
            ended = self._queue.get()
            while True:
                if ended is None:
                    stopping = True
                else:
                    batch.append(ended)
                if len(batch) >= MOST or stopping or self._queue.empty():
                    break
                ended = self._queue.get()
            if batch:
                self._free(batch)
                self._settle(batch)

    def _settle(self, batch: list[SettlingCall]) -> None:
        self._checkpoint("after_call")
        pause = threading.Event()
        while True:
            try:
                self._write(batch)
                break
            except Exception as error:  # noqa: BLE001 - looked at below: tried again, or loud
                if not unreachable(error):
                    _log.exception(
                        "settle_failed", items=[attempt.call.claim.item.id for attempt in batch]
                    )
                    if len(batch) > 1:
                        # One attempt that cannot be written must not hold up its neighbours.
                        for attempt in batch:
                            self._settle([attempt])
                        return
                    break
                _log.warning("ledger_unreachable", error=type(error).__name__)
                pause.wait(AGAIN_SECONDS)
        together: dict[Callable[[Sequence[SettlingCall]], None], list[SettlingCall]] = defaultdict(
            list
        )
        for attempt in batch:
            together[attempt.done].append(attempt)
        for done, ended in together.items():
            done(ended)

    def _write(self, batch: Sequence[SettlingCall]) -> None:
        # Before the transaction: on SQLite nobody else writes while it is open.
        now = self._ledger.now()
        calls = [ended.call for ended in batch]
        judgement = self._judge.judge(calls, now)
        written = [
            settlement(
                call.claim,
                call.deployment,
                call.outcome,
                self._policy,
                now,
                random.random(),  # noqa: S311 - jitter
                verdict=verdict,
                stopped=call.cancelled,
            )
            for call, verdict in zip(calls, judgement.verdicts, strict=True)
        ]
        ready = settlements.prepare(self._ledger.dialect, written, now)
        with self._ledger.write() as connection:
            result = settlements.settle(connection, ready)
            changes = conditions.note(connection, judgement.events)
        self._judge.noted({call.deployment.name for call in calls}, changes)
        self._checkpoint("after_settle")
        for call, settled in zip(calls, written, strict=True):
            self._alarms.check(call.deployment, settled)
        if ended := len(result.ends.ended):
            self.ended += ended
            self.ended_at = now
        if result.stale:
            self.stale += len(result.stale)
            for stale in result.stale:
                _log.warning("stale_fence", item=stale.item_id, fence=stale.fence)
        self._notify(result.ends)
        over = {ending.item_id for ending in result.ends.ended}
        if any(call.claim.item.id not in over for call in calls) or any(
            change.before.until != change.now.until for change in changes
        ):
            self._wake()
        self._observing.replies([(call.deployment, call.outcome) for call in calls], now)
