"""A producer: submits work every way there is and keeps its own log of what it was promised.

One JSON line a key: ``{"key", "how", "at", "status"}``. ``ok``: the call returned, so the item is
accepted; ``error``: refused for good; ``unknown``: the call raised without saying which, or it is
a call by name, which only the broker has until the intake commits it.
"""

import json
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from celery import Celery, chord, group
from sqlalchemy import text

from bench.chaos.hook import note
from bench.chaos.own_engine import POISON
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import complete
from tierqueue.tasks.app import app
from tierqueue.tasks.jobs.submission import Submission

OUTPUT_TOKENS = 64
FLOORS = ("gpu", "open_weight", "frontier")
SHARES = (50, 40, 10)
TIGHT_SHARE = 0.08
"""Share of the items that are billed to the budget that the run uses up."""

_WORDS = ("invoice", "printer", "order", "refund", "login", "parcel", "contract", "password")


def produce(name: str, folder: Path, *, seed: int, backlog: int) -> None:
    """Submit until ``folder / "stop"`` is there, never far ahead of ``backlog`` open items."""
    _Producer(name, folder, random.Random(seed)).run(backlog)


class _Producer:
    def __init__(self, name: str, folder: Path, draw: random.Random) -> None:
        self._name = name
        self._folder = folder
        self._log = folder / f"keys-{name}.jsonl"
        self._draw = draw
        self._count = 0
        self._stranger = Celery("stranger", set_as_current=False)
        self._stranger.conf.update(
            broker_url=os.environ["TIERQUEUE_BROKER_URL"],
            task_ignore_result=True,
            broker_transport_options={"socket_connect_timeout": 2},
        )

    def run(self, backlog: int) -> None:
        ways: list[tuple[int, Callable[[], None]]] = [
            (45, self._delay),
            (5, self._twice),
            (20, self._by_name),
            (10, self._group),
            (10, self._chord),
            (10, self._job),
        ]
        shares = [share for share, _ in ways]
        pause = threading.Event()
        stop = self._folder / "stop"
        while not stop.exists():
            self._poison()
            if self._open() >= backlog:
                pause.wait(0.05)
                continue
            for _, way in self._draw.choices(ways, shares, k=10):
                if not stop.exists():
                    way()

    def _open(self) -> int:
        try:
            with app.installation.ledger.read() as connection:
                asked = text("SELECT count(*) FROM items WHERE ended_at IS NULL")
                return int(connection.execute(asked).scalar_one())
        except Exception:  # noqa: BLE001 - the ledger is away: try to submit all the same
            return 0

    def _demands(self) -> dict[str, Any]:
        demands: dict[str, Any] = {"floor": self._draw.choices(FLOORS, SHARES)[0]}
        if self._draw.random() < TIGHT_SHARE:
            demands["budget"] = "tight"
        return demands

    def _prompt(self) -> str:
        self._count += 1
        words = " ".join(self._draw.choices(_WORDS, k=self._draw.randint(5, 40)))
        return f"{self._name} {self._count}: {words}"

    def _noted(self, how: str, keys: Sequence[str], act: Callable[[], object]) -> None:
        status = "ok"
        try:
            act()
        except InvalidItem:
            status = "error"
        except Exception:  # noqa: BLE001 - it may have been committed or not
            status = "unknown"
        if how == "name":
            status = "unknown"
        for key in keys:
            line = {"key": key, "how": how, "at": time.time(), "status": status}
            note(self._log, line)

    def _delay(self) -> None:
        key, prompt, demands = _key(), self._prompt(), self._demands()
        options = {"max_output_tokens": OUTPUT_TOKENS, **demands}
        self._noted("delay", [key], lambda: complete.apply_async((prompt,), options, task_id=key))

    def _twice(self) -> None:
        """The same idempotency key from two calls is one item with two promises."""
        prompt, demands, shared = self._prompt(), self._demands(), _key()
        options = {"max_output_tokens": OUTPUT_TOKENS, "idempotency_key": shared, **demands}
        for key in (_key(), _key()):
            self._noted(
                "twice",
                [key],
                lambda key=key: complete.apply_async((prompt,), options, task_id=key),  # type: ignore[misc]
            )

    def _by_name(self) -> None:
        key, prompt, demands = _key(), self._prompt(), self._demands()
        options = {"prompt": prompt, "max_output_tokens": OUTPUT_TOKENS, **demands}
        self._noted(
            "name",
            [key],
            lambda: self._stranger.send_task(
                "tierqueue.complete", kwargs=options, queue="route", task_id=key, retry=False
            ),
        )

    def _parts(self, count: int) -> tuple[list[str], list[Any]]:
        keys = [_key() for _ in range(count)]
        parts = [
            complete.s(self._prompt(), max_output_tokens=OUTPUT_TOKENS, **self._demands()).set(
                task_id=key
            )
            for key in keys
        ]
        return keys, parts

    def _group(self) -> None:
        keys, parts = self._parts(5)
        self._noted("group", keys, lambda: group(parts).apply_async())

    def _chord(self) -> None:
        keys, parts = self._parts(3)
        body_key = _key()
        body = complete.s(max_output_tokens=OUTPUT_TOKENS, floor="gpu").set(task_id=body_key)
        # The body is sent by whoever ends the last part; nobody has promised it yet.
        note(self._log, {"key": body_key, "how": "body", "at": time.time(), "status": "unknown"})
        self._noted("chord", keys, lambda: chord(parts)(body))

    def _poison(self) -> None:
        """Where a storm asked for it: an item that kills its worker, among neighbours."""
        asked = self._folder / "poison"
        taken = self._folder / f"poison-{self._name}"
        try:
            asked.rename(taken)
        except FileNotFoundError:
            return
        key = taken.read_text(encoding="utf-8")
        options = {"max_output_tokens": OUTPUT_TOKENS, "floor": "gpu", "priority": 9}
        for task_id in (_key(), _key(), key, _key(), _key(), _key()):
            prompt = self._prompt() + (POISON if task_id == key else "")
            self._noted(
                "poison" if task_id == key else "neighbour",
                [task_id],
                lambda prompt=prompt, task_id=task_id: complete.apply_async(  # type: ignore[misc]
                    (prompt,), options, task_id=task_id
                ),
            )

    def _job(self) -> None:
        name = f"{_key()}.jsonl"
        path = self._folder / name
        rows = [
            {"prompt": self._prompt(), "max_output_tokens": OUTPUT_TOKENS, **self._demands()}
            for _ in range(20)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        keys = [f"job:{name}:{index}" for index in range(len(rows))]
        ceiling = 2_000_000 if self._draw.random() < 0.2 else None

        def submit() -> None:
            Submission(complete, path, {}).submit(
                app.installation.ledger,
                app.installation.wakes.call,
                max_cost=ceiling,
                progress=lambda *_: None,
            )

        self._noted("job", keys, submit)
        path.unlink()


def _key() -> str:
    return str(uuid.uuid4())
