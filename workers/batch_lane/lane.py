"""The lane: a batch is formed, sent, looked at and settled, one step a tick, each in the ledger.

Any process may go on where another was ended. What costs money is asked for once: before a batch
is created that is written down, and from then on it is looked for at the provider first.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import structlog

from tierqueue.ledger.lifecycle import batches
from tierqueue.ledger.lifecycle.batches import Batch, LostBatch
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.router.policy.duration import HOUR_US, SECOND_US
from tierqueue.router.policy.lanes import PROMOTED_US
from tierqueue.tasks.routing.side_by_side import Policies
from tierqueue.tasks.ticker import Ticker
from tierqueue.workers.alerts.bills import Alarms
from tierqueue.workers.alerts.observer import Observer
from tierqueue.workers.batch_lane.collect import AGAIN_US, LEASE_US, Collector
from tierqueue.workers.batch_lane.requests import build, key_of
from tierqueue.workers.batch_lane.settle import BatchSettler
from tierqueue.workers.engines.batches import BatchEngine, BatchRefused, NotUnderstood, RemoteBatch
from tierqueue.workers.engines.stations import Station
from tierqueue.workers.process.checkpoint import Checkpoint
from tierqueue.workers.process.event_loop import EventLoopThread
from tierqueue.workers.request import Contents

_log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
"""Seconds between two looks for what is to be done."""

POLL_US = 60 * SECOND_US
"""Microseconds between two looks at a batch."""

SOON_US = 15 * SECOND_US
"""Microseconds between two checks of one that is cancelled."""

SURE_US = 720 * SECOND_US
"""Microseconds after which a batch that the provider does not know was never created: longer than
the call that creates one may take."""

LOST_US = 24 * HOUR_US
"""Microseconds after its deadline after which a batch is given up that nobody can look at, or that
is never over."""

MADE = "made, not named"
"""The state of a batch that the provider has made without a word on which it is: it may be found,
and is never to be made again."""


class BatchLane:
    """The batches of the deployments of one process.

    ``clock`` says the time in epoch microseconds, ``notify`` is called after each commit with the
    items that ended. ``contents`` reads the bytes of images by their hashes.
    """

    def __init__(
        self,
        *,
        worker: str,
        ledger: Ledger,
        policies: Policies,
        stations: Mapping[str, Station],
        types: Mapping[str, Any],
        loop: EventLoopThread,
        alarms: Alarms,
        observing: Observer,
        notify: Callable[[Ends], None],
        clock: Callable[[], int],
        checkpoint: Checkpoint,
        contents: Contents,
    ) -> None:
        self._worker = f"{worker}:{new_id()}"
        self._ledger = ledger
        self._policies = policies
        self._stations = stations
        self._types = types
        self._loop = loop
        self._clock = clock
        self._checkpoint = checkpoint
        self._contents = contents
        self._started = False
        self._ticker = Ticker("batch lane", self.tick, EVERY_SECONDS)
        self._settler = BatchSettler(
            ledger=ledger,
            types=types,
            loop=loop,
            alarms=alarms,
            observing=observing,
            notify=notify,
            clock=clock,
            checkpoint=checkpoint,
        )
        self._collect = Collector(
            worker=self._worker,
            ledger=ledger,
            types=types,
            loop=loop,
            notify=notify,
            clock=clock,
            checkpoint=checkpoint,
            contents=contents,
        )

    def use(self, policies: Policies, stations: Mapping[str, Station]) -> None:
        """Go by other policies, and work with their stations."""
        self._policies, self._stations = policies, stations
        self.start()

    def start(self) -> None:
        """Look on a thread of its own, once there is anything to look after."""
        if self._stations and not self._started:
            self._started = True
            self._ticker.start()

    def stop(self) -> None:
        """End after the step under way."""
        self._ticker.stop()

    def tick(self) -> None:
        """Form what is due, and take each batch that is due one step on."""
        for station in self._stations.values():
            while not self._ticker.stopping and self._collect(station, self._policies):
                pass
        while not self._ticker.stopping and (batch := self._due()) is not None:
            self._step(batch)

    def _engine(self, station: Station) -> BatchEngine:
        return cast(BatchEngine, station.engine)

    def _due(self) -> Batch | None:
        with self._ledger.write() as connection:
            return batches.due(connection, self._stations, self._worker, self._clock(), LEASE_US)

    def _note(self, batch: Batch, **changed: Any) -> Batch:
        with self._ledger.write() as connection:
            return batches.note(connection, batch, **changed)

    def _step(self, batch: Batch) -> None:
        station = self._stations[batch.deployment]
        try:
            try:
                if batch.state == "collected":
                    self._send(station, batch)
                else:
                    self._check(station, batch)
            except BatchRefused as error:
                _log.error("batch_refused", batch=batch.id, why=str(error))
                refused = RemoteBatch(id="", state="refused", over=True, refused=(str(error),))
                self._settler.settle(station, batch, refused, self._policies)
            except Exception as error:
                if unreachable(error) or isinstance(error, LostBatch):
                    raise
                if self._clock() > batch.deadline + LOST_US:
                    lost = RemoteBatch(id="", state="lost", over=True)
                    found = batch._replace(over_at=batch.deadline)
                    self._settler.settle(station, found, lost, self._policies)
                    return
                _log.warning("batch_postponed", batch=batch.id, error=type(error).__name__)
                self._note(batch, poll_at=self._clock() + AGAIN_US)
        except LostBatch:
            _log.warning("batch_of_another", batch=batch.id)

    def _send(self, station: Station, batch: Batch) -> None:
        """Bring it to the provider, or find it there."""
        api = self._engine(station).batches
        if batch.creating_at is not None:
            with self._ledger.read() as connection:
                keys = {key_of(*key) for key in batches.keys_of(connection, batch.id)}
                known = batches.remotes(connection, batch.formed_at)
            since = batch.creating_at / SECOND_US
            asked = (batch.id, batch.input_file, since, keys, known)
            found = self._loop.run(api.find(*asked))
            if found is not None:
                self._sent(batch, found)
                return
            if batch.remote_state == MADE:
                raise NotUnderstood("a batch was made, and is not found")
            if self._clock() < batch.creating_at + SURE_US:
                self._note(batch, poll_at=batch.creating_at + SURE_US)
                return
        if self._clock() > batch.deadline - PROMOTED_US:
            late = RemoteBatch(id="", state="not sent", over=True, refused=("too_late",))
            self._settler.settle(station, batch, late, self._policies)
            return
        lines: Sequence[bytes] = ()
        if batch.input_file is None:
            lines = self._lines(station, batch)
            batch = self._note(batch, input_file=self._loop.run(api.upload(batch.id, lines)))
        self._checkpoint("batch_uploaded")
        now = self._clock()
        if batch.input_file is not None and not self._loop.run(api.ready(batch.input_file)):
            self._note(batch, poll_at=now + SOON_US)
            return
        batch = self._note(batch, creating_at=now, lease_until=now + LEASE_US)
        self._checkpoint("batch_to_be_created")
        try:
            made = self._loop.run(api.create(batch.id, batch.input_file, lines))
        except NotUnderstood:
            self._note(batch, remote_state=MADE)
            raise
        self._checkpoint("batch_created")
        self._sent(batch, made)

    def _sent(self, batch: Batch, made: RemoteBatch) -> None:
        self._note(
            batch,
            state="sent",
            remote=made.id,
            remote_state=made.state,
            poll_at=self._clock() + SOON_US,
        )
        self._checkpoint("batch_sent")
        _log.info("batch_sent", batch=batch.id, remote=made.id, items=batch.size)

    def _lines(self, station: Station, batch: Batch) -> list[bytes]:
        claims = self._claims(station, batch, open_only=True)
        limits = station.deployment.batch
        assert limits is not None
        engine = self._engine(station)
        built = self._loop.run(
            build(station, engine, claims, self._types, limits, None, self._contents)
        )
        return list(built.lines.values())

    def _claims(self, station: Station, batch: Batch, *, open_only: bool = False) -> list[Claim]:
        with self._ledger.read() as connection:
            return batches.claims_of(
                connection, batch.id, counted=station.counted, open_only=open_only
            )

    def _check(self, station: Station, batch: Batch) -> None:
        """Settle it where it is over, and cancel it where time runs out."""
        api = self._engine(station).batches
        assert batch.remote is not None
        remote = self._loop.run(api.check(batch.remote))
        if remote.over:
            self._settler.settle(station, batch, remote, self._policies)
            return
        now = self._clock()
        if now > batch.deadline + LOST_US:
            raise NotUnderstood("a batch is never over")
        promote_at = batch.deadline - PROMOTED_US
        if batch.cancelled_at is None and (now >= promote_at or self._unwanted(batch)):
            self._loop.run(api.cancel(batch.remote))
            self._checkpoint("batch_cancelled")
            batch = self._note(batch, cancelled_at=now)
            _log.info("batch_cancelled", batch=batch.id, remote=batch.remote)
        wait = POLL_US if batch.cancelled_at is None else SOON_US
        poll_at = min(now + wait, max(now + SOON_US, promote_at))
        self._note(batch, remote_state=remote.state, poll_at=poll_at)

    def _unwanted(self, batch: Batch) -> bool:
        with self._ledger.read() as connection:
            return batches.all_cancelled(connection, batch.id)
