"""The intake: a call by name becomes an item, or a dead letter that says why it cannot."""

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import structlog
from celery.exceptions import Reject
from kombu.utils import json as celery_json

from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.lifecycle.items import NewItem
from tierqueue.ledger.results.promises import Ends, Promise
from tierqueue.ledger.session import unstorable
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import Demands, Sensitivity
from tierqueue.router.policy.demands import resolve
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.results.signatures import without_errbacks
from tierqueue.tasks.submission.references import mentioned
from tierqueue.tasks.submission.task_type import TaskType

_log = structlog.get_logger(__name__)

_WAIT_SECONDS = 1.0
"""Seconds between two tries while the ledger cannot be asked. A slot of the routing stage waits
them out: without the ledger it has nothing else to do, and a message put back at once would come
back at once."""


def take_in(
    task: TaskType,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    promise: Promise,
    *,
    not_before: Any,
    expires: Any,
) -> None:
    """Commit a call by name; bad input becomes a dead letter whose producer is told.

    Raises ``Reject`` with requeue, after a wait, while the ledger cannot be asked: until it has
    committed the item, the broker keeps the message. Raises ``InvalidItem`` where not even the
    refusal can be stored: Celery tells the producer.
    """
    app: TierqueueApp = task.app
    refers = mentioned([args, kwargs, *_following(promise)])
    try:
        try:
            if refers:
                promise = _alone(promise)
                _refuse_references(task)
            new = _checked(
                task, args, kwargs, item_id=promise.id, not_before=not_before, expires=expires
            )
            _may_come_by_name(app, new)
            with app.installation.ledger.write() as connection:
                items.submit(connection, new, promise)
        except InvalidItem as error:
            refuse(app, task.name, args, kwargs, promise, error)
        except Exception as error:
            if not unstorable(error):
                raise
            fault = InvalidItem(f"{task.name}: the database cannot hold this call")
            refuse(app, task.name, (), {}, promise, fault)
        else:
            _revoked_meanwhile(app, promise.id)
    except Exception as error:  # noqa: BLE001 - the broker keeps what was not committed
        if unstorable(error):
            raise InvalidItem(f"{task.name}: the database cannot hold this call") from None
        _try_again(promise.id, error)


def _refuse_references(task: TaskType) -> NoReturn:
    raise InvalidItem(
        f"{task.name}: a call by name reads nothing of other calls: a reference is for whoever"
        " submits with tierqueue installed",
        {"task": task.name},
    )


def _following(promise: Promise) -> tuple[Any, ...]:
    return promise.chain, promise.chord, promise.callbacks, promise.errbacks


def _alone(promise: Promise) -> Promise:
    """The promise without what would be sent when its item ends."""
    chord = without_errbacks(promise.chord)
    return promise._replace(chain=None, callbacks=None, errbacks=None, chord=chord)


def _checked(task: TaskType, *call: Any, **times: Any) -> NewItem:
    try:
        return task.called(*call, **times, unattended=True)
    except InvalidItem:
        raise
    except Exception as error:  # noqa: BLE001 - a team's own code, which would fail again
        raise InvalidItem(
            f"{task.name}: its prompt raised {type(error).__name__}", {"task": task.name}
        ) from None


def refuse(
    app: TierqueueApp,
    task: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    promise: Promise,
    error: InvalidItem,
) -> None:
    """Commit a dead letter ``invalid`` that keeps the arguments as they came; tell the producer."""
    try:
        # As Celery sends them: dates and the like are no JSON by themselves.
        as_they_came = celery_json.dumps({"args": args, "kwargs": kwargs}, allow_nan=False)
        ends = _commit_refusal(app, task, json.loads(as_they_came), promise, error)
    except Exception as failure:
        if not unstorable(failure):
            raise
        # The refusal counts for more than the arguments it is about.
        ends = _commit_refusal(app, task, {"args": [], "kwargs": {}}, promise, error)
    if ends is not None:
        Delivery(app).ended(ends)


def _commit_refusal(
    app: TierqueueApp,
    task: str,
    arguments: Mapping[str, Any],
    promise: Promise,
    error: InvalidItem,
) -> Ends | None:
    with app.installation.ledger.write() as connection:
        return items.refuse(connection, task, arguments, promise, error)


def _may_come_by_name(app: TierqueueApp, new: NewItem) -> None:
    policy = app.installation.policy
    stated = None if new.sensitivity is None else Sensitivity(new.sensitivity)
    sensitivity = resolve(Demands(sensitivity=stated), new.task, policy, 0).sensitivity
    if new.inherits == Sensitivity.REGULATED:
        sensitivity = Sensitivity.REGULATED
    if sensitivity is Sensitivity.REGULATED and not policy.allow_regulated_by_name:
        raise InvalidItem(
            f"{new.task}: a call by name passes its arguments through the broker, which regulated"
            " data must not: submit with tierqueue installed, state a sensitivity, or set"
            " allow_regulated_by_name in the policy",
            {"task": new.task, "sensitivity": sensitivity.value, "stated": new.sensitivity},
        )


def _revoked_meanwhile(app: TierqueueApp, promise_id: str) -> None:
    # Only a worker comes here: a producer's import of this module must not load a worker's.
    from celery.worker import state

    from tierqueue.tasks.results.cancellation import cancel_behind

    if promise_id in state.revoked:
        cancel_behind(app, [promise_id])


def _try_again(promise_id: str, error: Exception) -> NoReturn:
    _log.warning("intake_waits", promise=promise_id, error=type(error).__name__)
    threading.Event().wait(_WAIT_SECONDS)
    raise Reject(type(error).__name__, requeue=True) from None
