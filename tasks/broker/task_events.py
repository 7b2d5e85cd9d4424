"""Task events for items, so that Flower shows each with its true state and none of its contents."""

import atexit
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from celery import Celery
from celery.events import EventDispatcher

from tierqueue.ledger.monitoring.endings import Spent
from tierqueue.ledger.results.promises import Ending, Promise
from tierqueue.router.errors import BY_REASON
from tierqueue.router.money import NanoUSD, format_usd

_log = structlog.get_logger(__name__)

_GATHER = 0.05
"""Seconds in which events gather into one message."""

_BATCH = 256
_WAITING = 20_000
"""Events that may wait for the broker; then the oldest are dropped."""

_LONGEST = 500
"""Characters of a dead letter's message."""

_SPEAKS_OF_CONTENTS = frozenset({"invalid", "rejected", "low_confidence", "undecodable"})
"""Reasons whose messages may quote a call's arguments or its answer."""

_NOTHING: Mapping[str, Spent] = {}

_PAUSE_AFTER_FAILURE = 2.0
_GOODBYE = 0.5


class ItemEvents:
    """Says what happens to items, from a thread of its own; never raises and never waits.

    An item appears under its promises' ids. Events are a courtesy: those that the broker does not
    take are dropped. ``hostname`` is the worker's node name. Needs ``worker_send_task_events``.
    """

    def __init__(self, app: Celery, hostname: str | None = None) -> None:
        self.hostname = hostname
        self._app = app
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_WAITING)
        self._wanted = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None
        self._broken = False

    def received(self, promises: Iterable[Promise]) -> None:
        """The items of these promises are in; gives each its name in Flower."""
        self._say(
            (
                "task-received",
                {
                    "uuid": promise.id,
                    "name": promise.task,
                    "args": "",
                    "kwargs": "",
                    "root_id": promise.root_id,
                    "parent_id": promise.parent_id,
                    "retries": 0,
                    "eta": None,
                    "expires": None,
                },
            )
            for promise in promises
        )

    def started(self, promise_ids: Iterable[str]) -> None:
        """A worker claimed their items."""
        self._say(("task-started", {"uuid": promise_id}) for promise_id in promise_ids)

    def retried(self, promise_ids: Iterable[str], reason: str) -> None:
        """Their items wait to be tried again; ``reason`` is the ledger's word."""
        self._say(
            ("task-retried", {"uuid": promise_id, "exception": reason, "traceback": ""})
            for promise_id in promise_ids
        )

    def ended(
        self,
        owed: Sequence[tuple[Promise, Ending]],
        runtime: float | None = None,
        spent: Mapping[str, Spent] = _NOTHING,
    ) -> None:
        """Their items ended; ``runtime`` is seconds of the last call.

        ``spent`` says of dead ones, by item id, where they were and what they cost.
        """
        self._say(
            _end(promise, ending, runtime, spent.get(ending.item_id)) for promise, ending in owed
        )

    def flush(self) -> None:
        """Wait until the events said so far are sent, for at most half a second."""
        self._idle.wait(_GOODBYE)

    def _say(self, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
        if not self._app.conf.worker_send_task_events:
            return
        now = time.time()
        self._idle.clear()
        for kind, fields in events:
            fields["timestamp"] = now
            self._waiting.append((kind, fields))
        if self._thread is None:
            with self._start:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                    self._thread.start()
                    atexit.register(self.flush)
        self._wanted.set()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                with self._app.connection_for_write() as connection:
                    self._publish(connection, pause)
            except Exception as error:  # noqa: BLE001 - an event is a courtesy
                if not self._broken:
                    _log.warning("events_not_sent", error=type(error).__name__)
                self._broken = True
                self._waiting.clear()
                self._idle.set()
                pause.wait(_PAUSE_AFTER_FAILURE)

    def _publish(self, connection: Any, pause: threading.Event) -> None:
        dispatcher = EventDispatcher(
            connection,
            hostname=self.hostname,
            app=self._app,
            buffer_while_offline=False,
            buffer_group={"task"},
            buffer_limit=_BATCH,
        )
        while True:
            while self._waiting:
                kind, fields = self._waiting.popleft()
                dispatcher.send(kind, **fields)
            dispatcher.flush()
            self._broken = False
            if not self._wanted.is_set():
                self._idle.set()
            pause.wait(_GATHER)
            self._wanted.wait()
            self._wanted.clear()


def _end(
    promise: Promise, ending: Ending, runtime: float | None, spent: Spent | None
) -> tuple[str, dict[str, Any]]:
    if ending.state == "succeeded":
        told = {"uuid": promise.id, "result": _where(ending), "runtime": runtime}
        return "task-succeeded", told
    if ending.state == "cancelled":
        revoked = {"terminated": False, "signum": None, "expired": False}
        return "task-revoked", {"uuid": promise.id, **revoked}
    told = {"uuid": promise.id, "exception": _why(ending, spent), "traceback": ""}
    return "task-failed", told


def _where(ending: Ending) -> str:
    receipt = (ending.answer or {}).get("receipt") or {}
    known = [str(receipt[name]) for name in ("tier", "deployment", "cost") if name in receipt]
    return ", ".join([*known, *(["simulated"] if receipt.get("simulated") else [])])


def message_of(error: Mapping[str, Any] | None) -> str:
    """A dead letter's message, where it holds nothing of a call or an answer; else nothing."""
    if error is None or error.get("reason") in _SPEAKS_OF_CONTENTS:
        return ""
    return str(error.get("message", ""))[:_LONGEST]


def _why(ending: Ending, spent: Spent | None) -> str:
    kind = BY_REASON.get(str((ending.error or {}).get("reason")))
    said = kind.__name__ if kind else "DeadLettered"
    if message := message_of(ending.error):
        said += f": {message}"
    if spent is not None:
        said += f" ({spent.tier or 'never routed'}, {format_usd(NanoUSD(spent.cost))})"
    return said
