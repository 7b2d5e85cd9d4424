"""The observer of replies: writes down how each was, and alerts where another model answers."""

from collections.abc import Callable, Iterable

import structlog

from tierqueue.ledger.in_force import observations
from tierqueue.ledger.in_force.observations import MODEL, WITHOUT, Observation
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.router.outcome import Accepted, Outcome, Rejected
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import HOUR_US
from tierqueue.workers.alerts.hook import Message

_log = structlog.get_logger(__name__)

EVERY_US = HOUR_US
"""Microseconds after which a process writes again that it has seen something."""

_REMEMBERED = 10_000
"""Most of what was written down that a process remembers; after that it is written down again."""


class Observer:
    """Used by one thread. A ledger that cannot be asked loses nothing: the next reply tells it."""

    def __init__(self, ledger: Ledger, hook: Callable[[Message], None]) -> None:
        self._ledger = ledger
        self._hook = hook
        self._written: dict[Observation, int] = {}

    def replies(self, ended: Iterable[tuple[Deployment, Outcome]], now: int) -> None:
        """Look at replies that came until ``now`` (epoch microseconds); most tell nothing new."""
        new = {
            one
            for deployment, outcome in ended
            for one in _observations(deployment, outcome)
            if now - self._written.get(one, 0) > EVERY_US
        }
        if len(self._written) > _REMEMBERED:
            self._written.clear()
        if not new:
            return
        try:
            with self._ledger.write() as connection:
                changed = observations.see(connection, new, now)
        except Exception as error:  # noqa: BLE001 - the replies are settled, whatever this comes to
            if not unreachable(error):
                _log.exception("replies_not_observed", error=type(error).__name__)
            return
        self._written |= dict.fromkeys(new, now)
        for change in changed:
            said: dict[str, str | int] = {
                "deployment": change.deployment,
                "asked": change.asked,
                "before": change.before,
                "served": change.served,
            }
            _log.warning("served_model_changed", **said)
            self._hook({"what": "served_model_changed", **said})


def _observations(deployment: Deployment, outcome: Outcome) -> list[Observation]:
    if isinstance(outcome, Accepted):
        served, without = outcome.completed.model_served, outcome.completed.without
    elif isinstance(outcome, Rejected) and outcome.model_served is not None:
        served, without = outcome.model_served, ()
    else:
        return []
    return [
        Observation(deployment.name, deployment.model, MODEL, served),
        *(Observation(deployment.name, deployment.model, WITHOUT, name) for name in without),
    ]
