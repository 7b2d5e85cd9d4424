"""Settling: every request of a batch that is over, by its line in one of the files."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import structlog

from tierqueue.ledger.lifecycle import batches, settlements
from tierqueue.ledger.lifecycle.batches import Batch
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.settlements import Settlement
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Ledger
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import Outcome
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.router.policy.lanes import GIVEN_UP_US
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.routing.side_by_side import Policies
from tierqueue.tasks.settle.decide import settlement
from tierqueue.tasks.settle.write import Verdict
from tierqueue.workers.alerts.bills import Alarms
from tierqueue.workers.alerts.observer import Observer
from tierqueue.workers.batch_lane import results
from tierqueue.workers.engines.batches import BatchEngine, RemoteBatch
from tierqueue.workers.engines.stations import Station
from tierqueue.workers.process.checkpoint import Checkpoint
from tierqueue.workers.process.event_loop import EventLoopThread

_log = structlog.get_logger(__name__)

LATE_US = 600 * SECOND_US
"""Microseconds for which a line may come that the files of a batch lack which is over."""

AGAIN_US = 60 * SECOND_US
"""Microseconds between two looks for it."""

MOST = 256
"""Most lines settled in one transaction."""


def settlement_of(
    claim: Claim,
    deployment: Deployment,
    outcome: Outcome,
    policy: Policy,
    now: int,
    draw: float,
    *,
    batch: str,
) -> Settlement:
    """As of a call of its own, at the price of ``deployment``, which is that of its batches.

    Says nothing of the deployment: a batch is no sign of how it serves, nor of how soon. ``now``:
    epoch microseconds; ``draw``: uniform in [0, 1), it spreads retries.
    """
    verdict = Verdict(condition=None, own=False)
    found = settlement(
        claim, deployment, outcome, policy, now, draw, verdict=verdict, stopped=False
    )
    found = replace(found, judged=None)
    if found.next_state is State.ROUTED:
        # Nobody holds a slice of it: it is routed anew, to another batch or live.
        found = replace(found, next_state=State.SUBMITTED)
    if found.receipt is not None:
        found = replace(found, receipt={**found.receipt, "batch": batch})
    return found


class BatchSettler:
    """Settles batches; its arguments are ``Lane``'s."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        types: Mapping[str, Any],
        loop: EventLoopThread,
        alarms: Alarms,
        observing: Observer,
        notify: Callable[[Ends], None],
        clock: Callable[[], int],
        checkpoint: Checkpoint,
    ) -> None:
        self._ledger = ledger
        self._types = types
        self._loop = loop
        self._alarms = alarms
        self._observing = observing
        self._notify = notify
        self._clock = clock
        self._checkpoint = checkpoint

    def _note(self, batch: Batch, **changed: Any) -> None:
        with self._ledger.write() as connection:
            batches.note(connection, batch, **changed)

    def settle(
        self, station: Station, batch: Batch, remote: RemoteBatch, policies: Policies
    ) -> None:
        """Settle every request by its line, and say how many ended as what."""
        engine = cast(BatchEngine, station.engine)
        output = self._loop.run(engine.batches.lines(remote))
        lines = results.by_key(output)
        with self._ledger.read() as connection:
            keys = batches.keys_of(connection, batch.id)
        remote = results.believed(remote, output, lines, keys)
        counts = results.counted(keys, lines, remote)
        if counts["missing"] and self._may_come(batch, remote):
            return
        with self._ledger.read() as connection:
            claims = batches.claims_of(connection, batch.id, counted=station.counted)
        self._checkpoint("batch_read")
        for first in range(0, len(claims), MOST):
            outcomes: list[tuple[Claim, Outcome]] = []
            for one in claims[first : first + MOST]:
                line = results.line_of(lines, one.item.id, one.fence)
                given = (line, one, station, engine, self._types, remote)
                outcomes.append((one, results.outcome_of(*given, simulated=output.simulated)))
            self._write(station, batch, outcomes, policies)
            self._checkpoint("batch_settled_in_part")
        self._note(
            batch,
            state="over",
            remote_state=remote.state,
            ended_at=self._clock(),
            counts=counts,
            error=", ".join(remote.refused) or None,
        )
        unknown = results.foreign(keys, lines)
        if output.broken or counts["missing"] or unknown:
            told = {"unreadable": output.broken, "unknown": unknown, "counts": counts}
            _log.error("batch_incomplete", batch=batch.id, **told)
        _log.info("batch_over", batch=batch.id, state=remote.state, counts=counts)

    def _may_come(self, batch: Batch, remote: RemoteBatch) -> bool:
        """Whether what its files lack is waited for: one may be cut short, or not be there yet."""
        now, given_up = self._clock(), batch.deadline - GIVEN_UP_US
        over_at = now if batch.over_at is None else batch.over_at
        until = over_at + LATE_US
        if over_at < given_up:
            # What the files do have is settled before all of it is given up.
            until = min(until, given_up - 2 * AGAIN_US)
        if now >= until:
            return False
        poll_at = now + AGAIN_US
        self._note(batch, over_at=over_at, remote_state=remote.state, poll_at=poll_at)
        return True

    def _write(
        self,
        station: Station,
        batch: Batch,
        outcomes: Sequence[tuple[Claim, Outcome]],
        policies: Policies,
    ) -> None:
        now, deployment = self._clock(), station.deployment.in_batch
        written = [
            settlement_of(
                claim,
                deployment,
                outcome,
                policies.own,
                now,
                random.random(),  # noqa: S311 - jitter
                batch=batch.id,
            )
            for claim, outcome in outcomes
        ]
        live = results.to_go_live([(claim.item.id, outcome) for claim, outcome in outcomes])
        ready = settlements.prepare(self._ledger.dialect, written, now)
        with self._ledger.write() as connection:
            result = settlements.settle(connection, ready)
            stale = {settlement.item_id for settlement in result.stale}
            batches.go_live(connection, [item for item in live if item not in stale])
        for settled in written:
            self._alarms.check(deployment, settled)
        self._observing.replies([(deployment, outcome) for _, outcome in outcomes], now)
        self._notify(result.ends)
