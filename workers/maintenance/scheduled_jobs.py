"""The jobs of schedules are submitted, on a thread of their own: a large file takes its time."""

import threading

import structlog

from tierqueue.ledger.session import unreachable
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.schedules import jobs

_log = structlog.get_logger(__name__)

_LOOK = 2.0
"""Seconds between two looks."""


class ScheduledJobs:
    """``run`` until ``stopping`` is set; a job under way is gone on with by another stage."""

    def __init__(self, app: TierqueueApp) -> None:
        self._app = app

    def run(self, stopping: threading.Event) -> None:
        """Submit whatever is due, one job after the other."""
        while not stopping.wait(_LOOK):
            try:
                while not stopping.is_set() and jobs.submit_one(
                    self._app.ledger, self._app.wakes.call
                ):
                    pass
            except Exception as error:  # noqa: BLE001 - its lease ends, and it is tried again
                if unreachable(error):
                    _log.warning("scheduled_job_waits", error=type(error).__name__)
                else:
                    _log.exception("scheduled_job_failed", error=type(error).__name__)
