"""The alarm: ceilings that are nearly spent or burn too fast, items that a ceiling ended, and
deployments that cannot serve.
"""

import time
from typing import Any

import structlog

from tierqueue.ledger.ceilings import warnings
from tierqueue.ledger.ceilings.warnings import BURN_RATE, CeilingWarning
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.condition import Condition
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.findings.deployments import mend
from tierqueue.workers.alerts.hook import Hook

_log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
"""Seconds between two looks at the ceilings."""

LASTS_US = 30 * SECOND_US
"""Microseconds that a deployment must have been away before somebody is told, where nobody has to
mend anything; else it is told at once."""

_TOLD = ("ceiling", "limit", "spent", "held", "needed")


class Alarm:
    """Looks at the ceilings and tells the log and the hook, each thing once.

    Many routing stages may look at once: the ledger says who was first. A process that dies
    between writing down and telling has told nobody.
    """

    def __init__(self, ledger: Ledger, policy: Policy, hook: Hook | None = None) -> None:
        self._ledger = ledger
        self._policy = policy
        self._hook = Hook(policy.hooks) if hook is None else hook
        self._checked = float("-inf")

    def tick(self) -> None:
        """Notify of what there is; called with every tick of the routing stage."""
        self._ended()
        self._away()
        if time.monotonic() - self._checked >= EVERY_SECONDS:
            self._checked = time.monotonic()
            self._warn()

    @property
    def _simulated(self) -> bool:
        """Whether the money may be: ceilings count what simulated calls would have cost."""
        return bool(self._policy.simulated)

    def _ended(self) -> None:
        if not (most := self._hook.capacity):
            return
        with self._ledger.read() as connection:
            found = warnings.not_notified(connection, database_now(connection), most)
        if not found:
            return
        with self._ledger.write() as connection:
            taken = warnings.take(connection, found, database_now(connection))
        for death in taken:
            fields = (death.error or {}).get("fields", {})
            self._hook.notify(
                {
                    "what": "cost_ceiling",
                    "item": death.id,
                    "task": death.task,
                    "budget": death.budget,
                    "job": death.job_id,
                    "simulated": self._simulated,
                    **{name: fields.get(name) for name in _TOLD},
                }
            )

    def _away(self) -> None:
        with self._ledger.read() as connection:
            now = database_now(connection)
            known = [
                condition
                for name, condition in conditions.by_deployment(connection).items()
                if name in self._policy.deployments
            ]
            new = [
                condition
                for condition in known
                if condition.told_at is None and _lasts(condition, now)
            ]
            over = [
                condition
                for condition in known
                if condition.told_at is not None and not condition.held
            ]
            waiting = conditions.waiting(connection, [warning.deployment for warning in new])
        for warning in new:
            with self._ledger.write() as connection:
                first = conditions.note_notified(connection, warning.deployment, now)
            if first:
                self._notify("deployment_away", warning, waiting=waiting.get(warning.deployment, 0))
        for ceiling in over:
            with self._ledger.write() as connection:
                first = conditions.note_notified(connection, ceiling.deployment, None)
            if first:
                self._notify("deployment_back", ceiling)

    def _notify(self, what: str, condition: Condition, **more: int) -> None:
        said: dict[str, str | int | None] = {"deployment": condition.deployment, **more}
        if condition.code is not None:
            said |= {
                "code": condition.code,
                "detail": condition.detail,
                "since": condition.since,
                "faults": condition.faults,
                "do": mend(condition.code, self._policy.deployments[condition.deployment]),
            }
        log = _log.warning if condition.held else _log.info
        log(what, **said)
        self._hook.notify({"what": what, **said})

    def _warn(self) -> None:
        with self._ledger.read() as connection:
            found = warnings.due(connection, self._policy.warnings, database_now(connection))
        if not found.reached and not found.marks:
            return
        with self._ledger.write() as connection:
            new = warnings.note(connection, found, database_now(connection))
        for warning in new:
            said = _fields(warning, simulated=self._simulated)
            _log.warning("ceiling_warning", **said)
            self._hook.notify({"what": "ceiling_warning", **said})


def _lasts(condition: Condition, now: int) -> bool:
    """Whether somebody should be told of it."""
    if not condition.unavailable:
        return False
    urgent = condition.needs_somebody or condition.lasting
    return urgent or now - (condition.since or now) >= LASTS_US


def _fields(warning: CeilingWarning, *, simulated: bool) -> dict[str, Any]:
    """The warning as the log and the hook tell it; money in nano-dollars."""
    of_rate = warning.what == BURN_RATE
    return {
        "ceiling": warning.balance_id,
        "warning": BURN_RATE if of_rate else "share",
        "share": None if of_rate else float(warning.what),
        "limit": warning.limit,
        "spent": warning.spent,
        "held": warning.held,
        "simulated": simulated,
    }
