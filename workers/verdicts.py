"""Verdicts on ended calls: whose fault each one is, and what is written down of its deployment."""

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import structlog

from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.in_force.conditions import Change
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.session import Ledger
from tierqueue.router.condition import Condition, Fault, ServedCall, after, its_own, seen_in
from tierqueue.router.outcome import Outcome
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.settle.write import Verdict
from tierqueue.workers.limits.breaker import Breaker

_log = structlog.get_logger(__name__)

SERVED_EVERY_SECONDS = 1.0
"""Seconds between two notes that a deployment goes on serving."""


class EndedCall(NamedTuple):
    """A claimed call, and what came of it."""

    claim: Claim
    deployment: Deployment
    """Where it was called."""
    outcome: Outcome
    telling: bool
    """Whether it says something of its deployment."""
    cancelled: bool
    """Whether it was ended because somebody cancelled its item."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Each call's verdict, in their order, and what is to be noted of deployments."""

    verdicts: list[Verdict]
    events: conditions.Events


class Judge:
    """Used by the settler's one thread."""

    def __init__(self, ledger: Ledger, breaker: Breaker) -> None:
        self._ledger = ledger
        self._breaker = breaker
        self._served: dict[str, int] = {}
        self._noted: dict[str, float] = {}

    def judge(self, calls: Sequence[EndedCall], now: int) -> Judgement:
        """Say of each call whose fault it was, ``now`` (epoch µs) that they end together."""
        seen = [self._fault_or_serving(call, now) for call in calls]
        events: dict[str, list[ServedCall | Fault]] = {}
        for call, event in zip(calls, seen, strict=True):
            if event is not None:
                events.setdefault(call.deployment.name, []).append(event)
        faults = [
            (call.claim.item.id, call.claim.fence)
            for call, event in zip(calls, seen, strict=True)
            if isinstance(event, Fault)
        ]
        known: dict[str, Condition] = {}
        ended: dict[str, int] = {}
        if faults:
            with self._ledger.read() as connection:
                known = conditions.by_deployment(connection)
                ended = conditions.last_faults(connection, faults)
        # Where all are served there is nothing to tell apart.
        own = self._fold(calls, seen, known, ended) if faults else [False] * len(calls)
        for name, happened in events.items():
            if any(isinstance(event, ServedCall) for event in happened):
                self._served[name] = now
        verdicts = [
            Verdict(condition=known.get(call.deployment.name) if call.telling else None, own=its)
            for call, its in zip(calls, own, strict=True)
        ]
        return Judgement(
            verdicts,
            {name: seen for name, seen in events.items() if self._worth_noting(name, seen)},
        )

    def noted(self, deployments: Iterable[str], changes: Sequence[Change]) -> None:
        """The calls of these deployments are settled, and this has been written."""
        self._breaker.settled(deployments, [change.now for change in changes])
        for change in changes:
            self._noted[change.now.deployment] = time.monotonic()
            log_change(change)

    def _fault_or_serving(self, call: EndedCall, now: int) -> ServedCall | Fault | None:
        if not call.telling:
            return None
        draw = random.random()  # noqa: S311 - jitter
        item = call.claim.item.id
        return seen_in(call.outcome, item, call.claim.started_at, now, draw)

    def _fold(
        self,
        calls: Sequence[EndedCall],
        seen: Sequence[ServedCall | Fault | None],
        known: dict[str, Condition],
        ended: dict[str, int],
    ) -> list[bool]:
        """Whether each call's fault is its item's own; ``known`` is brought up to date."""
        own: list[bool] = []
        for call, event in zip(calls, seen, strict=True):
            claim, its = call.claim, False
            name = call.deployment.name
            condition = known.get(name, Condition(deployment=name))
            # What was served here since the ledger was last told.
            served = max(condition.served_at or 0, self._served.get(name, 0)) or None
            condition = replace(condition, served_at=served)
            if isinstance(event, Fault):
                since = min(claim.started_at, ended.get(claim.item.id, claim.started_at))
                its = its_own(condition, claim.item.id, since)
            if event is not None:
                known[name] = after(condition, event)
            own.append(its)
        return own

    def _worth_noting(self, name: str, events: Sequence[ServedCall | Fault]) -> bool:
        if any(isinstance(event, Fault) for event in events) or not self._breaker.clear(name):
            return True
        return time.monotonic() - self._noted.get(name, float("-inf")) >= SERVED_EVERY_SECONDS


def log_change(change: Change) -> None:
    """One line for each change of a deployment's state, none for each call."""
    before, now = change.before, change.now
    told = {"deployment": now.deployment, "code": now.code, "detail": now.detail}
    if before.code is not None and now.code is None:
        seconds = round(((now.served_at or 0) - (before.since or 0)) / SECOND_US, 1)
        _log.info(
            "deployment_serves_again",
            deployment=now.deployment,
            code=before.code,
            faults=before.faults,
            seconds=seconds,
        )
    elif now.held and now.rounds > before.rounds:
        wait = round(now.wait(now.faulted_at or 0), 1)
        if before.held:
            _log.info("deployment_still_held_back", **told, faults=now.faults, seconds=wait)
        elif now.code == "throttled":
            _log.info("deployment_held_back", **told, faults=now.faults, seconds=wait)
        else:
            _log.warning("deployment_held_back", **told, faults=now.faults, seconds=wait)
    elif before.code is None and now.code is not None:
        _log.info("deployment_fails", **told)
