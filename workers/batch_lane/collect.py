"""Collecting: what waits for a batch is claimed, its money held, and handed over, all or none."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import structlog

from tierqueue.ledger.in_force import conditions, pauses
from tierqueue.ledger.lifecycle import batches
from tierqueue.ledger.lifecycle.claims import claim, read
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Ledger
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.routing.side_by_side import Policies
from tierqueue.workers.batch_lane.requests import build, to_be_claimed
from tierqueue.workers.engines.batches import BatchEngine
from tierqueue.workers.engines.stations import Station
from tierqueue.workers.process.checkpoint import Checkpoint
from tierqueue.workers.process.event_loop import EventLoopThread
from tierqueue.workers.request import Contents

_log = structlog.get_logger(__name__)

LEASE_US = 900 * SECOND_US
"""Microseconds for which nobody else looks after a batch: longer than any one step takes."""

AGAIN_US = 30 * SECOND_US
"""Microseconds after which what could not be done is tried again."""


class Collector:
    """Forms batches; its arguments are ``Lane``'s."""

    def __init__(
        self,
        *,
        worker: str,
        ledger: Ledger,
        types: Mapping[str, Any],
        loop: EventLoopThread,
        notify: Callable[[Ends], None],
        clock: Callable[[], int],
        checkpoint: Checkpoint,
        contents: Contents,
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._types = types
        self._loop = loop
        self._notify = notify
        self._clock = clock
        self._checkpoint = checkpoint
        self._contents = contents

    def __call__(self, station: Station, policies: Policies) -> bool:
        """Hand over what was collected, in one batch; returns whether another may be due."""
        deployment = station.deployment
        limits = deployment.batch
        assert limits is not None
        now = self._clock()
        with self._ledger.read() as connection:
            paused = pauses.in_force(connection)
            found = batches.collected(connection, deployment.name, limits.requests, paused)
            due = found.items >= limits.requests or now - (found.oldest or now) >= limits.collect
            known = conditions.by_deployment(connection).get(deployment.name)
            if not found.items or not due or (known is not None and not known.free(now)):
                return False
            wanted = batches.candidates(connection, deployment.name, limits.requests, paused)
            seen = read(connection, wanted)
            tokens = limits.enqueued_tokens
            if tokens is not None:
                tokens -= batches.enqueued_tokens(connection, deployment.name)
        # One early deadline must not cut short a batch of late ones.
        first = min(one.item.deadline or now for one in seen.values())
        asked = [
            to_be_claimed(seen[key])
            for key in wanted
            if key in seen and (seen[key].item.deadline or now) - now <= 2 * (first - now)
        ]
        engine = cast(BatchEngine, station.engine)
        built = self._loop.run(
            build(station, engine, asked, self._types, limits, tokens, self._contents)
        )
        batch_id = new_id()
        claimant = replace(
            station.claimant(self._worker, lease_us=0), patience_us=AGAIN_US, batch=batch_id
        )
        with self._ledger.write() as connection:
            batches.go_live(connection, built.unfit)
            fences = {key: wanted[key] for key in built.lines}
            rows = [seen[key].item for key in fences]
            held_back = policies.held_back(rows, deployment, now)
            claims = claim(connection, claimant, fences, seen, now, held_back)
            if claims.claimed:
                held = (batch_id, deployment.name, claims.claimed, self._worker, now, LEASE_US)
                batches.form(connection, *held)
        self._checkpoint("batch_formed")
        self._notify(claims.ends)
        if claims.claimed:
            size = len(claims.claimed)
            _log.info("batch_formed", batch=batch_id, deployment=deployment.name, items=size)
        return bool(claims.claimed)
