"""Task events for items, so that Flower shows each with its true state and none of its contents."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from celery import Celery
from celery.events import EventDispatcher

from tierqueue.ledger.monitoring.endings import ItemCost
from tierqueue.ledger.results.promises import Ending, Promise
from tierqueue.router.errors import BY_REASON
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.tasks.broker.background_sender import BackgroundSender

_log = structlog.get_logger(__name__)

_GATHER_SECONDS = 0.05
"""Seconds in which events gather into one message."""

_BATCH = 256
_WAITING = 20_000
"""Events that may wait for the broker; then the oldest are dropped."""

_LONGEST = 500
"""Characters of a dead letter's message."""

_SPEAKS_OF_CONTENTS = frozenset({"invalid", "rejected", "low_confidence", "undecodable"})
"""Reasons whose messages may quote a call's arguments or its answer."""

_NOTHING: Mapping[str, ItemCost] = {}

_PAUSE_AFTER_FAILURE = 2.0
_Event = tuple[str, dict[str, Any]]


class ItemEvents:
    """Says what happens to items, from a thread of its own; never raises and never waits.

    An item appears under its promises' ids. Events are a courtesy: those that the broker does not
    take are dropped. ``hostname`` is the worker's node name. Needs ``worker_send_task_events``.
    """

    def __init__(self, app: Celery, hostname: str | None = None) -> None:
        self.hostname = hostname
        self._app = app
        self._dispatcher: EventDispatcher | None = None
        self._sender = BackgroundSender[_Event](
            "events",
            self._send,
            _not_sent,
            waiting=_WAITING,
            batch=_WAITING,
            gather=_GATHER_SECONDS,
            pause=_PAUSE_AFTER_FAILURE,
        )
        self.flush = self._sender.flush

    def received(self, promises: Iterable[Promise]) -> None:
        """The items of these promises are in; gives each its name in Flower."""
        self._put(
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
        self._put(("task-started", {"uuid": promise_id}) for promise_id in promise_ids)

    def retried(self, promise_ids: Iterable[str], reason: str) -> None:
        """Their items wait to be tried again; ``reason`` is the ledger's word."""
        self._put(
            ("task-retried", {"uuid": promise_id, "exception": reason, "traceback": ""})
            for promise_id in promise_ids
        )

    def ended(
        self,
        owed: Sequence[tuple[Promise, Ending]],
        runtime: float | None = None,
        spent: Mapping[str, ItemCost] = _NOTHING,
    ) -> None:
        """Their items ended; ``runtime`` is seconds of the last call.

        ``spent`` says of dead ones, by item id, where they were and what they cost.
        """
        self._put(
            _end(promise, ending, runtime, spent.get(ending.item_id)) for promise, ending in owed
        )

    def _put(self, events: Iterable[_Event]) -> None:
        if not self._app.conf.worker_send_task_events:
            return
        now = {"timestamp": time.time()}
        self._sender.put(((kind, fields | now) for kind, fields in events), drop_oldest=True)

    def _send(self, events: list[_Event]) -> None:
        if self._dispatcher is None:
            self._dispatcher = EventDispatcher(
                self._app.connection_for_write(),
                hostname=self.hostname,
                app=self._app,
                buffer_while_offline=False,
                buffer_group={"task"},
                buffer_limit=_BATCH,
            )
        try:
            for kind, fields in events:
                self._dispatcher.send(kind, **fields)
            self._dispatcher.flush()
        except BaseException:
            self._dispatcher.connection.release()
            self._dispatcher = None
            raise


def _not_sent(_: list[_Event], error: Exception, again: bool) -> None:
    if not again:
        _log.warning("events_not_sent", error=type(error).__name__)


def _end(promise: Promise, ending: Ending, runtime: float | None, spent: ItemCost | None) -> _Event:
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


def _why(ending: Ending, spent: ItemCost | None) -> str:
    kind = BY_REASON.get(str((ending.error or {}).get("reason")))
    said = kind.__name__ if kind else "DeadLettered"
    if message := message_of(ending.error):
        said += f": {message}"
    if spent is not None:
        cost = format_usd(NanoUSD(spent.cost))
        made_up = ", simulated" if spent.simulated else ""
        said += f" ({spent.tier or 'never routed'}, {cost}{made_up})"
    return said
