"""``AsyncResult.revoke()`` and Flower's revoke cancel the items behind these Celery ids.

Imported by every worker of ours: each one hears a revoke, and Celery's own answer to it would tell
the producer "revoked" of an item that is still being worked on.
"""

from collections.abc import Iterable
from typing import Any

import structlog
from celery.utils.functional import maybe_list
from celery.worker import control

from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.results.cancellation import cancel_behind

_log = structlog.get_logger(__name__)


def _revoke(state: Any, task_id: Any, terminate: bool, signal: Any, **kwargs: Any) -> Any:
    ids: set[str] = set(maybe_list(task_id) or [])
    if isinstance(state.app, TierqueueApp):
        try:
            ids -= (ours := cancel_behind(state.app, sorted(ids)))
        except Exception as error:  # noqa: BLE001 - the answer says so
            # Nothing is known of the ids, so nothing is said of them: least of all "revoked".
            _log.error("revoke_failed", error=type(error).__name__)
            return {"error": f"nothing was revoked: {type(error).__name__}"}
        if not ids:
            return {"ok": f"cancelled: {_listed(ours)}"}
    return _CELERY_REVOKE(state, sorted(ids), terminate=terminate, signal=signal, **kwargs)


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(sorted(ids)) or "nothing"


_CELERY_REVOKE = control.revoke


@control.control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")  # type: ignore[untyped-decorator]
def revoke(
    state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **kwargs: Any
) -> Any:
    """Revoke task by task id (or list of ids); work items among them are cancelled.

    ``terminate`` (with ``signal``) also ends what is active; an item's call is aborted either way.
    """
    return _revoke(state, task_id, terminate, signal, **kwargs)


@control.control_command(  # type: ignore[untyped-decorator]
    variadic="task_id", args=[("signal", str)], signature="<signal> [id1 [id2 [... [idN]]]]"
)
def terminate(state: Any, signal: Any, task_id: Any, **_: Any) -> Any:
    """Terminate task by task id (or list of ids); work items among them are cancelled."""
    return _revoke(state, task_id, True, signal)
