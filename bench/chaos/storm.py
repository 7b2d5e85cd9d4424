"""The faults of a run: kills at random and at named points, and upheavals among them."""

import json
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from bench.chaos.plant import WORKERS, Plant
from bench.chaos.upheavals import Deploys, Upheavals
from bench.chaos.watch import Watch

TIER_POINTS = (
    "before_claim",
    "after_claim",
    "before_call",
    "after_call",
    "after_settle",
    "before_ack",
)
ROUTING_POINTS = (
    "before_route",
    "after_route",
    "after_send",
    "before_intake",
    "after_intake",
    "before_expiry",
    "after_expiry",
)
TIERS = [name for name, kind in WORKERS.items() if kind != "routing"]
ROUTING = [name for name, kind in WORKERS.items() if kind == "routing"]

GAP = (0.3, 0.9)
"""Seconds between two faults, drawn evenly."""

AT_A_POINT = 20.0
"""Seconds in which somebody must come by an armed point."""

MANY = 200
"""Kills below which the providers' troubles are brief."""

FEW = 20
"""Kills below which two other faults are drawn; from there on each of them comes."""

POISON_KILLS = 3
"""Workers that an item kills before it is dead: the policy's ``poison``."""

POISON_SECONDS = 40.0

ZOMBIE_TRIES = 6


class Storm:
    """A schedule drawn from ``seed``: ``kills`` kills and the other faults among them.

    ``named``: every crash point at least once; otherwise some of the routing stage's are left out
    where there are few kills.
    """

    def __init__(
        self, plant: Plant, watch: Watch, seed: int, kills: int, *, named: bool = False
    ) -> None:
        self._plant = plant
        self._watch = watch
        self._draw = random.Random(seed)
        self._kills = kills
        self._named = named
        self._pause = threading.Event()
        self._upheavals = Upheavals(plant, watch, brief=kills < MANY)
        self.deploys = Deploys(plant, watch)
        self._seen = 0
        self.killed: set[int] = set()
        self.by_kind: Counter[str] = Counter()
        self.with_claim = 0
        self.missed: list[str] = []

    def run(self, until: float) -> None:
        """Play the schedule; what is left of it at ``until`` (monotonic seconds) is left out."""
        self.deploys.start()
        try:
            for act in self._schedule():
                if time.monotonic() > until:
                    self.missed.append("time")
                    return
                act()
                self._pause.wait(self._draw.uniform(*GAP))
        finally:
            self.deploys.stop()

    def _schedule(self) -> list[Callable[[], None]]:
        rounds = max(1, self._kills // 60)
        poisons = rounds if self._kills >= 12 else 0
        kills = self._kills - poisons * POISON_KILLS
        routing = list(ROUTING_POINTS)
        self._draw.shuffle(routing)
        points = [*TIER_POINTS, *(routing if self._named else routing[: kills // 4])] * rounds
        acts: list[Callable[[], None]] = [self._at(point) for point in points[:kills]]
        while len(acts) < kills:
            acts.append(self._routing if self._draw.random() < 0.08 else self._random)
        other = self._upheavals
        others = [other.flushall, other.broker_connections, other.broker_restart]
        others += [other.broker_crash, other.broker_older_copy]
        others += [other.broker_black_hole, other.migration]
        troubles = [other.provider_outage, other.key_revoked]
        if self._plant.database == "postgresql":
            others += [other.database_restart, other.database_connections]
        if self._kills < FEW:
            others, troubles = self._draw.sample([*others, *troubles], 2), []
        others += [self._zombie, self._zombie]
        # Long as they are, once a run.
        acts += others * rounds + troubles + [self._poison] * poisons
        self._draw.shuffle(acts)
        return acts

    def _random(self) -> None:
        """SIGKILL to a tier worker that holds claims, if any does."""
        self._kill(self._busy() or self._draw.choice(TIERS), "random")

    def _routing(self) -> None:
        """SIGKILL to a routing stage; now and then to both at once, which is two kills."""
        both = self._draw.random() < 0.3
        for name in ROUTING if both else [self._draw.choice(ROUTING)]:
            self._kill(name, "routing")

    def _busy(self) -> str | None:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            holders = self._watch.holders()
            names = [name for name in TIERS if holders.get(self._plant.pid(name) or 0)]
            if names:
                return self._draw.choice(names)
            self._pause.wait(0.05)
        return None

    def _kill(self, name: str, how: str) -> None:
        pid = self._plant.pid(name)
        if pid is None:
            return
        at = time.time()
        os.kill(pid, signal.SIGKILL)
        self._plant.nursery.wait(pid, 10)
        self._killed(pid, name, how, at)

    def _killed(self, pid: int, name: str, how: str, at: float) -> None:
        self.killed.add(pid)
        claims = self._watch.killed(pid, at)
        self.by_kind[how] += 1
        self.with_claim += claims > 0
        self._watch.fault("kill", how=how, worker=name, claims=claims)

    def _at(self, point: str) -> Callable[[], None]:
        def act() -> None:
            armed = self._plant.folder / "armed" / point
            armed.touch()
            until = time.monotonic() + AT_A_POINT
            while armed.exists() and time.monotonic() < until:
                self._pause.wait(0.01)
            if armed.exists():
                armed.unlink(missing_ok=True)
                self.missed.append(point)
            self._note_crashes()

        return act

    def _note_crashes(self) -> None:
        for crash in self._crashes():
            self._plant.nursery.wait(crash["pid"], 10)
            self._killed(crash["pid"], crash["worker"], crash["point"], crash["at"])

    def _crashes(self) -> Sequence[dict[str, Any]]:
        path = self._plant.folder / "crashes.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        fresh, self._seen = lines[self._seen :], len(lines)
        return [json.loads(line) for line in fresh]

    def _poison(self) -> None:
        """An item that kills its worker comes in among others; nothing else happens meanwhile."""
        with self.deploys.quiet:
            self._be_poisoned()

    def _be_poisoned(self) -> None:
        key = str(uuid.UUID(int=self._draw.getrandbits(128), version=4))
        self._watch.fault("poison", key=key)
        asked = self._plant.folder / "poison-asked"
        asked.write_text(key, encoding="utf-8")
        asked.rename(self._plant.folder / "poison")
        until = time.monotonic() + POISON_SECONDS
        query = (
            "SELECT state FROM items JOIN promises ON promises.item_id = items.id"
            f" WHERE promises.id = '{key}' AND items.ended_at IS NOT NULL"
        )
        while not self._watch.ask(query):
            if time.monotonic() > until:
                self.missed.append("poison")
                break
            self._note_crashes()
            self._pause.wait(0.1)
        self._note_crashes()

    def _zombie(self) -> None:
        """A worker sleeps through its leases and then wants to write.

        One that stopped with the ledger's locks in its hands is no zombie yet: nobody can take its
        items over. PostgreSQL rolls it back in time; a SQLite file has to wait for it, so there it
        goes on and another is stopped.
        """
        with self.deploys.quiet:
            self._freeze()

    def _freeze(self) -> None:
        for _ in range(ZOMBIE_TRIES):
            name = self._busy()
            pid = self._plant.pid(name) if name else None
            if pid is None:
                continue
            began = time.time()
            os.kill(pid, signal.SIGSTOP)
            freed = self._sleep(began)
            os.kill(pid, signal.SIGCONT)
            if freed is None or freed > began:
                self._watch.fault("frozen_with_locks", worker=name)
                self._watch.outage(began)
            if freed is not None:
                self._watch.fault("zombie", worker=name)
                return
            self._pause.wait(0.5)
        self.missed.append("zombie")

    def _sleep(self, began: float) -> float | None:
        """Wait until others have had the time to take over; since when they could, if they can."""
        freed = began
        asleep = self._plant.lease_seconds + 1.5
        while time.time() < freed + asleep:
            if self._watch.locked():
                freed = time.time()
                if self._plant.database == "sqlite" or freed > began + 3 * asleep:
                    return None
            self._pause.wait(0.2)
        return freed
