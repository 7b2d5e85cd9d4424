"""The batch lane on a simulated clock, with a real sandbox and the real SDK behind it.

Everything but the clock is what a worker and a routing stage run; they are called one after the
other here, so that a day takes seconds and a kill strikes exactly where it is meant to.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import select

from bench.batch_lane.live import end_leases, replies_to, written_of
from bench.batch_lane.policies import policy_text
from tierqueue.ledger.bulk import among
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.contents import content_store
from tierqueue.ledger.lifecycle import claims, flows, routes, settlements
from tierqueue.ledger.lifecycle.claims import Claimant
from tierqueue.ledger.lifecycle.items import die, new_id, prepare, submit
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Ledger, Transaction
from tierqueue.ledger.tables import batches, items
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks import ask_image, complete
from tierqueue.tasks.routing.decide import choose_all
from tierqueue.tasks.routing.side_by_side import Policies
from tierqueue.workers.alerts.bills import Alarms
from tierqueue.workers.alerts.observer import Observer
from tierqueue.workers.batch_lane.lane import BatchLane
from tierqueue.workers.engines import build
from tierqueue.workers.engines.stations import Station
from tierqueue.workers.maintenance.expiry import give_up
from tierqueue.workers.process.event_loop import EventLoopThread
from tools.keeper import kill_with_parent
from tools.system import ROOT

SECOND = 1_000_000
DAY = 86_400 * SECOND

STEPS = (
    *("batch_formed", "batch_uploaded", "batch_to_be_created", "batch_created", "batch_sent"),
    *("batch_cancelled", "batch_read", "batch_settled_in_part"),
)
"""The checkpoints of the lane: between any two of them a kill may come."""

LIVE_STEPS = ("live_claimed", "live_called")
"""The same of live calls: claimed and not sent yet, answered and not settled yet."""


class Killed(BaseException):
    """The process ended here."""


class Plant:
    """A ledger, a sandbox and a lane; ``now`` in epoch microseconds is the time everywhere.

    ``terms``: the sandbox's batches file; ``engine``: whose batches they are; ``batch``: further
    keys of the policy's batch table, ``keys``: of its deployment's; ``more``: what else stands in
    the policy; ``vendor``: as whom the sandbox speaks, by the name of a profile; ``second``: the
    engine of a second provider, in the tier above.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        terms: str = "",
        batch: str = "",
        more: str = "",
        engine: str = "openai",
        model: str = "open-large",
        keys: str = "",
        vendor: str | None = None,
        second: str | None = None,
    ) -> None:
        self._clock = folder / "clock"
        self.log = folder / "sandbox.jsonl"
        self.ledger = Ledger(url, frozen_seconds=60.0)
        self.now = self.ledger.now()
        self._write_clock()
        (folder / "batches.toml").write_text(terms + '\nclock = "clock"\n', encoding="utf-8")
        asked = ["--port", "0", "--log", str(self.log), "--batches", str(folder / "batches.toml")]
        command = [sys.executable, "-m", "sandbox", *asked]
        self._sandbox = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        kill_with_parent(self._sandbox.pid)
        assert self._sandbox.stdout is not None
        port = int(json.loads(self._sandbox.stdout.readline())["port"])
        text = policy_text(port, engine, vendor, batch=batch, second=second, model=model, keys=keys)
        text += more
        self.policy = parse_policy(text, "plant")
        self.loop = EventLoopThread()
        self.loop.start()
        self.stations: dict[str, Station] = {}
        for name, deployment in self.policy.deployments.items():
            built = build(deployment, {"SANDBOX_KEY": "any"})
            self.loop.run(built.start())
            self.stations[name] = Station(deployment=deployment, engine=built)
        self.station = self.stations["batched"]
        self.types: dict[str, Any] = {kind.name: kind for kind in (complete, ask_image)}
        self.kills: Counter[str] = Counter()
        self.to_kill: set[str] = set()
        self.lane = self._new_lane()
        with self.ledger.write() as connection:
            books.seed(connection, self.policy.ceilings, self.now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for station in self.stations.values():
            self.loop.run(station.engine.close())
        self.loop.stop()
        self.ledger.close()
        self._sandbox.terminate()
        self._sandbox.wait(timeout=60)
        assert self._sandbox.stdout is not None
        self._sandbox.stdout.close()

    def _write_clock(self) -> None:
        beside = self._clock.with_suffix(".new")
        beside.write_text(str(self.now / SECOND), encoding="utf-8")
        beside.replace(self._clock)

    def _new_lane(self) -> BatchLane:
        return BatchLane(
            worker="plant",
            ledger=self.ledger,
            policies=Policies(self.policy),
            stations=self.stations,
            types=self.types,
            loop=self.loop,
            alarms=Alarms(lambda _: None),
            observing=Observer(self.ledger, lambda _: None),
            notify=_nothing,
            clock=lambda: self.now,
            checkpoint=self._checkpoint,
            contents=self._contents,
        )

    def _contents(self, hashes: Sequence[str]) -> Mapping[str, bytes]:
        with self.ledger.read() as connection:
            return content_store.read(connection, hashes)

    def _checkpoint(self, name: str) -> None:
        if name in self.to_kill:
            self.to_kill.remove(name)
            self.kills[name] += 1
            raise Killed(name)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * SECOND)
        self._write_clock()

    def submit(
        self, prompts: Sequence[str], *, deadline: int | None = DAY, **more: Any
    ) -> list[str]:
        """Commit one item a prompt; ``deadline`` in microseconds from now. Returns their ids."""
        made = [
            complete.new_item(
                (),
                {"prompt": prompt, "max_output_tokens": 60, **more},
                item_id=new_id(),
            )
            for prompt in prompts
        ]
        ids = [new.id for new in made]
        at = self.now
        with self.ledger.write() as connection:
            prepare(self.ledger.dialect, made, at).write(connection)
            self._due(connection, ids, deadline)
        return ids

    def submit_images(self, images: Sequence[bytes], *, deadline: int | None = DAY) -> list[str]:
        """The same, of one item an image."""
        made = [
            ask_image.new_item((), {"image": image, "question": "What is it?"}, item_id=new_id())
            for image in images
        ]
        ids = [new.id for new in made]
        with self.ledger.write() as connection:
            for new in made:
                submit(connection, new, None)
            self._due(connection, ids, deadline)
        return ids

    def _due(self, connection: Transaction, ids: Sequence[str], deadline: int | None) -> None:
        if deadline is not None:
            due = items.update().where(among(items.c.id)).values(deadline=self.now + deadline)
            connection.execute(due, {"ids": ids})

    def route(self) -> None:
        """What a routing stage's look and its tick do."""
        end_leases(self.ledger, self.policy, self.now)
        give_up(self.ledger, self.policy, self.now)
        with self.ledger.write() as connection:
            routes.wake_due(connection, self.now)
            wanted = _of_each(connection, None, 10_000)
            submitted = routes.submitted(connection, wanted)
            chosen = choose_all(submitted, self.policy, self.now, {})
            routes.route(connection, chosen.routed)
            die(connection, chosen.deaths, self.now)

    def tick(self) -> None:
        """One look of the lane; where it is killed another process takes its place."""
        try:
            self.lane.tick()
        except Killed:
            self.lane = self._new_lane()

    def live(self, most: int = 500) -> int:
        """Call what is routed to be called, and settle it; returns how many. Where it is killed its
        calls are open until their leases end.
        """
        try:
            return sum(self._live(station, most) for station in self.stations.values())
        except Killed:
            return 0

    def _live(self, station: Station, most: int) -> int:
        deployment = station.deployment
        claimant = Claimant(
            worker="live",
            tier=deployment.tier.value,
            deployment=deployment.name,
            provider=deployment.provider,
            metered=True,
            lease_us=60 * SECOND,
            policy=deployment.policy,
            terms=deployment.terms,
        )
        with self.ledger.write() as connection:
            wanted_now = _of_each(connection, claimant.tier, most)
            ready = routes.queue(connection, claimant.tier, wanted_now, self.now)
            wanted = {item.id: item.fence for item in ready}
            known = claims.read(connection, wanted)
            claimed = claims.claim(connection, claimant, wanted, known, self.now).claimed
        if not claimed:
            return 0
        self._checkpoint("live_claimed")
        replies = replies_to(self.loop, station, self.types, self._contents, claimed)
        self._checkpoint("live_called")
        written = [
            written_of(claim, station, self.types, reply, self.policy, self.now)
            for claim, reply in replies
        ]
        with self.ledger.write() as connection:
            ready_to = settlements.prepare(self.ledger.dialect, written, self.now)
            settlements.settle(connection, ready_to)
        return len(claimed)

    def pass_time(
        self, met: Callable[[], bool], *, step: float = 60.0, most: float = 90_000
    ) -> None:
        """Work, and let ``step`` seconds pass, until a state is reached within ``most`` seconds."""
        end = self.now + round(most * SECOND)
        while not met():
            assert self.now < end, f"the awaited state did not come: {self.states()}"
            self.turn()
            self.advance(step)

    def turn(self) -> None:
        """Route, look, and call what goes live, until nothing is left to do now."""
        self.route()
        self.tick()
        self.route()
        while self.live():
            pass

    def states(self) -> Counter[str]:
        """How many items are in each state."""
        with self.ledger.read() as connection:
            return Counter(connection.execute(select(items.c.state)).scalars())

    def rows(self, table: Any) -> list[Any]:
        """Every row of ``items``, ``attempts`` or ``batches``."""
        with self.ledger.read() as connection:
            return list(connection.execute(select(table)).mappings())

    def logged(self) -> list[dict[str, Any]]:
        """The sandbox's own books."""
        text = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def over(self, ids: Collection[str]) -> bool:
        """Whether all these items have ended, and every batch with them."""
        with self.ledger.read() as connection:
            left = select(items.c.id).where(among(items.c.id), items.c.ended_at.is_(None)).limit(1)
            unended = connection.execute(left, {"ids": list(ids)}).first()
            open_ = select(batches.c.id).where(batches.c.ended_at.is_(None)).limit(1)
            return unended is None and connection.execute(open_).first() is None


def _of_each(connection: Transaction, tier: str | None, most: int) -> dict[str, int]:
    return {flow.name: most for flow in flows.with_work(connection, tier)}


def _nothing(_: Ends) -> None:
    """Nobody waits for a promise here."""
