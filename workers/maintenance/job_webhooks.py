"""Webhooks of jobs are called: one look a few seconds at each job that somebody is told of."""

import json

import structlog

from tierqueue.ledger.operations import jobs
from tierqueue.ledger.operations.jobs import JobProgress
from tierqueue.ledger.results import webhooks
from tierqueue.ledger.results.webhooks import Webhook
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.results.job_webhook import due_event, secret_at, signed
from tierqueue.workers.alerts.posting import HookFailed, post
from tierqueue.workers.maintenance.retrying import next_try

_log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0
"""Seconds between two looks that find none due."""

_TICK_US = 5 * SECOND_US
_SECONDS = 10.0
"""The longest one call may take between two of its steps."""

_ALONE_US = 120 * SECOND_US
"""Microseconds that a webhook is left to whoever calls it."""


class JobWebhooks:
    """Many stages share the webhooks through the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def one(self) -> bool:
        """Look at one job, and tell of it where there is something to tell; false: none is due."""
        with self._ledger.write() as connection:
            now = database_now(connection)
            hook = webhooks.take(connection, now, now + _ALONE_US)
            if hook is None:
                return False
            progress = jobs.progress(connection, hook.job_id)
        what = due_event(hook, progress, now)
        why = None
        if what is not None and what != hook.told:
            why = _post(hook, progress, what, now)
        self._note(hook, progress, what, why, now)
        return True

    def _note(
        self, hook: Webhook, progress: JobProgress, what: str | None, why: str | None, now: int
    ) -> None:
        again: int | None = now + _TICK_US
        tries = 0
        if why is not None:
            tries = hook.tries + 1
            again = next_try(now, tries)
            what = hook.told
            _log.error("webhook_failed", job=hook.job_id, why=why, tries=tries)
        elif what == "done":
            again = None
        moved = hook.moved_at if progress.ended == hook.ended else now
        with self._ledger.write() as connection:
            webhooks.note(
                connection,
                hook.job_id,
                ended=progress.ended,
                moved_at=moved,
                told=what,
                tries=tries,
                error=why,
                look_at=again,
            )


def _post(hook: Webhook, progress: JobProgress, what: str, now: int) -> str | None:
    """Why the address did not take it, or ``None``."""
    told = {
        "job": hook.job_id,
        "what": what,
        "total": progress.total,
        "ended": progress.ended,
        "states": progress.states,
        "dead_letters": progress.dead,
        "cancelled": progress.cancelled,
        "cost_nanousd": progress.spent + progress.booked,
        "simulated": progress.simulated,
    }
    body = json.dumps(told).encode()
    try:
        signature = signed(secret_at(hook.secret), body, now // SECOND_US)
        post(hook.address, body, signature, _SECONDS)
    except HookFailed as error:
        return str(error)
    except InvalidItem as error:
        return error.message
    return None
