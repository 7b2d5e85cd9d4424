"""Promises come true: results, links, chains, groups and chords, told as Celery tells them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog
from celery import states
from celery.app.task import Context
from celery.canvas import signature
from celery.exceptions import ChordError
from celery.result import ResultBase

from tierqueue.ledger.lifecycle import documents
from tierqueue.ledger.results import chords
from tierqueue.ledger.results.promises import Ending, Promise
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import BY_REASON, DeadLettered, TierqueueError, of_reason
from tierqueue.router.item import Sensitivity
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.broker import memory, names
from tierqueue.tasks.broker.once import once
from tierqueue.tasks.results.signatures import named, opened, without_errbacks

_log = structlog.get_logger(__name__)

OwedPromise = tuple[Promise, Ending]

PARTIAL = "without_failed"
"""An option of a chord's body: it is sent without the parts that failed, if one has an answer."""

PART = "part_of"
"""An option of a chord's body: which part it is of a document; with no pieces, the document."""

REGULATED_EXPIRES_SECONDS = 300
"""Seconds an answer of a regulated item stays with the broker; the ledger has it beyond that."""

_unattended: ContextVar[bool] = ContextVar("unattended", default=False)


def unattended() -> bool:
    """Whether a call is made on behalf of a producer who is not there to see it raise."""
    return _unattended.get()


def fulfil(
    app: TierqueueApp, ledger: Ledger, wake: Callable[[], None], owed: Sequence[OwedPromise]
) -> list[str]:
    """Make promises come true; returns the ids of those that did, and raises nothing.

    What could not be told (the broker is down) is logged without its payload and stays owed.
    Fulfilling a promise twice stores the same result again and sends nothing again. Takes one round
    trip for all promises that are owed a result alone.
    """
    plain = [promise for promise in owed if promise[0].plain]
    others = [promise for promise in owed if not promise[0].plain]
    fulfilled: list[str] = []
    try:
        _store(app, plain)
        fulfilled += [promise.id for promise, _ in plain]
        if others:
            # Celery's own calls below retry for many seconds; without a broker none is begun.
            memory.answers(app.backend)
    except Exception as error:  # noqa: BLE001 - what is not fulfilled stays owed
        _log.warning(
            "promises_not_fulfilled", count=len(owed) - len(fulfilled), error=type(error).__name__
        )
        return fulfilled
    for promise, ending in others:
        try:
            _notify(app, ledger, wake, promise, ending)
        except Exception as error:  # noqa: BLE001 - what is not fulfilled stays owed
            _log.warning("promise_not_fulfilled", promise=promise.id, error=type(error).__name__)
        else:
            fulfilled.append(promise.id)
    return fulfilled


def celery_result(ending: Ending) -> tuple[str, Any]:
    """The Celery state of an ending, and its result or the exception that ``.get()`` raises.

    A cancelled item is ``REVOKED``, as Celery and Flower name it, and raises ``Cancelled``, which
    says by whom and is one of our dead letters.
    """
    if ending.state == "succeeded":
        return states.SUCCESS, ending.answer
    state = states.REVOKED if ending.state == "cancelled" else states.FAILURE
    return state, _exception(ending.error or {})


def _exception(error: Mapping[str, Any]) -> TierqueueError:
    reason = str(error.get("reason"))
    message, fields = str(error.get("message", reason)), error.get("fields")
    if reason not in BY_REASON:
        # Written by a newer version: the producer is told all the same.
        return DeadLettered(message, {**(fields or {}), "reason": reason})
    return of_reason(reason, message, fields)


def _context(promise: Promise) -> Context:
    return Context(
        {
            "id": promise.id,
            "task": promise.task,
            "group": promise.group_id,
            "group_index": promise.group_index,
            "chord": opened(promise.chord),
            "chain": opened(promise.chain),
            "errbacks": [
                named(opened(errback), f"{promise.id}/error/{index}")
                for index, errback in enumerate(promise.errbacks or ())
            ],
            "root_id": promise.root_id or promise.id,
            "parent_id": promise.parent_id,
            "delivery_info": {},
        }
    )


def _store(app: TierqueueApp, plain: Sequence[OwedPromise]) -> None:
    backend, done = app.backend, app.now().isoformat()
    results = []
    for promise, ending in plain:
        state, result = celery_result(ending)
        usual = backend.failure_expires if state == states.FAILURE else backend.expires
        meta = json.dumps(stored(promise, state, result, done))
        results.append((promise.id, meta, _expires(ending, usual)))
    memory.store_results(backend, results)


def _expires(ending: Ending, usual: int | None) -> int | None:
    """Seconds the broker holds a result; answers of regulated items are soon gone from there."""
    receipt = (ending.answer or {}).get("receipt") or {}
    if ending.answer is None or receipt.get("sensitivity") != Sensitivity.REGULATED:
        return usual
    return min(usual or REGULATED_EXPIRES_SECONDS, REGULATED_EXPIRES_SECONDS)


def stored(promise: Promise, state: str, result: Any, done: str) -> dict[str, Any]:
    """A result as Celery stores it (``Backend._get_result_meta``, ``prepare_exception``)."""
    if isinstance(result, Exception):
        kind = type(result)
        result = {
            "exc_type": kind.__qualname__,
            "exc_message": result.args,
            "exc_module": kind.__module__,
        }
    meta = {
        "status": state,
        "result": result,
        "traceback": None,
        "children": [],
        "date_done": done,
        "task_id": promise.id,
    }
    if promise.group_id:
        meta["group_id"] = promise.group_id
    if promise.parent_id:
        meta["parent_id"] = promise.parent_id
    return meta


def _notify(
    app: TierqueueApp,
    ledger: Ledger,
    wake: Callable[[], None],
    promise: Promise,
    ending: Ending,
) -> None:
    """A promise with more to it than a result; raises what the broker or the ledger raises."""
    state, result = celery_result(ending)
    context = _context(promise)
    group_id = promise.group_id if promise.chord else None
    if group_id is not None:
        with ledger.read() as connection:
            if not chords.is_ours(connection, group_id):
                group_id = None
    if group_id is not None:
        # Counted in the ledger: the broker's count would be lost with the broker.
        context.update(chord=None)
    with _once(app, promise) as first:
        if state == states.SUCCESS:
            if first:
                context.children.extend(_send(app, promise, result))
            app.backend.mark_as_done(promise.id, result, request=context)
            if (expires := _expires(ending, None)) is not None:
                memory.forget_soon(app.backend, promise.id, expires)
        else:
            app.backend.mark_as_failure(
                promise.id, result, request=context, state=state, call_errbacks=first
            )
    if group_id is not None:
        # Behind the marker: what was sent above is not sent again if this fails.
        _end_part(app, ledger, wake, group_id, promise.chord)


def _joined(parts: Sequence[Ending], *, partial: bool) -> list[Any]:
    """The answers of a chord's parts; raises ``ChordError`` as Celery does for one that failed,
    of ``partial`` ones where all have.
    """
    answers = [part.answer for part in parts if part.state == "succeeded"]
    if len(answers) < len(parts) and not (partial and answers):
        failed = next(part for part in parts if part.state != "succeeded")
        _, error = celery_result(failed)
        raise ChordError(f"Dependency {failed.item_id} raised {error!r}")
    return answers


def _end_part(
    app: TierqueueApp, ledger: Ledger, wake: Callable[[], None], group_id: str, body: Any
) -> None:
    """Send a chord's body once its last part has ended; its ids make a second sending harmless."""
    with ledger.write() as connection:
        parts = chords.parts(connection, group_id)
        begun = None if parts is None else chords.begin(connection, group_id)
        told = chords.has_failed(connection, group_id)
    if parts is None or begun is None:
        return
    if not begun:
        raise RuntimeError("another process is sending this chord's body")
    unseen = _unattended.set(True)
    try:
        callback = signature(opened(without_errbacks(body) if told else body), app=app)
        part = callback.options.get(PART)
        partial = bool(callback.options.pop(PARTIAL, False))
        failed = False
        try:
            answers = _joined(parts, partial=partial)
            if part is None or _joins(ledger, wake, part):
                callback.delay(answers)
        except ChordError as error:
            failed = True
            if part is None:
                app.backend.chord_error_from_stack(callback, error)
            else:
                _document_goes_on(ledger, wake, part)
    except BaseException:
        with ledger.write() as connection:
            chords.give_up(connection, group_id)
        raise
    finally:
        _unattended.reset(unseen)
    with ledger.write() as connection:
        chords.sent(connection, group_id, failed=failed)


def _joins(ledger: Ledger, wake: Callable[[], None], part: Mapping[str, Any]) -> bool:
    """Whether a document waits for an item that joins answers; else it is looked at itself."""
    with ledger.read() as connection:
        waits = documents.waiting(connection, part["document"]) is not None
    if waits and "from" not in part:
        _document_goes_on(ledger, wake, part)
    return waits and "from" in part


def _document_goes_on(ledger: Ledger, wake: Callable[[], None], part: Mapping[str, Any]) -> None:
    with ledger.write() as connection:
        documents.soon(connection, part["document"])
    wake()


@contextmanager
def _once(app: TierqueueApp, promise: Promise) -> Iterator[bool]:
    """Whether this is the first to send what follows; raises while another is about it.

    Celery counts a chord's part and stores a result once however often it is told, but sends
    links, chains and errbacks each time. A sender that dies is followed by another within seconds.
    """
    key = names.promise_marker(promise.id, promise.replays)
    kept = app.backend.expires
    with once(app.backend, [key], kept=kept) as marked:
        if not any(marked):
            raise RuntimeError("another process is fulfilling this promise")
        unseen = _unattended.set(True)
        try:
            yield bool(marked.ours)
        finally:
            _unattended.reset(unseen)


def _send(app: TierqueueApp, promise: Promise, answer: Any) -> list[ResultBase]:
    """Send links, then the chain's next step, each with ids that a second time would repeat."""
    options = {
        "parent_id": promise.id,
        "root_id": promise.root_id or promise.id,
        "add_to_parent": False,
    }
    sent = [
        signature(named(opened(callback), f"{promise.id}/link/{index}"), app=app).apply_async(
            (answer,), **options
        )
        for index, callback in enumerate(promise.callbacks or ())
    ]
    if promise.chain:
        *rest, following = opened(promise.chain)
        step = signature(named(following, f"{promise.id}/chain/{len(rest)}"), app=app)
        sent.append(step.apply_async((answer,), chain=rest, **options))
    return sent
