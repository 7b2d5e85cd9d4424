"""Surrogates at work in the routing stage: what they answer, and the audits that judge them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from tierqueue.ledger.in_force import pauses, surrogates
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.surrogates import Off
from tierqueue.ledger.lifecycle.answers import answer
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Transaction
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.routing.decide import Chosen
from tierqueue.tasks.routing.surrogates import Surrogates, breaks_its_promise, said

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OutOfService:
    """Versions that were switched off, and what somebody paused."""

    versions: Sequence[str]
    paused: Sequence[Pause]


class BelowTheTiers:
    """The surrogates of a policy; false where it has none."""

    def __init__(self, policy: Policy) -> None:
        self._surrogates = Surrogates(policy)

    def __bool__(self) -> bool:
        return bool(self._surrogates)

    def wants(self, task: str) -> bool:
        """Whether the arguments of such items are to be read."""
        return task in self._surrogates.tasks

    def out_of_service(self, connection: Transaction) -> OutOfService:
        """What holds surrogates back now."""
        if not self._surrogates:
            return OutOfService((), ())
        off = surrogates.switched_off(connection, self._surrogates.versions)
        return OutOfService([one.version for one in off], tuple(pauses.in_force(connection)))

    def serve(
        self,
        chosen: Chosen,
        arguments: Mapping[str, Mapping[str, Any]],
        out_of_service: OutOfService,
    ) -> Chosen:
        """Answer what surrogates answer of ``chosen``; nothing is written yet."""
        if not self._surrogates:
            return chosen
        return self._surrogates.serve(
            chosen, arguments, out_of_service.versions, out_of_service.paused
        )

    def write(self, connection: Transaction, chosen: Chosen, now: int) -> Ends:
        """Write the answers and the audits, in the transaction that routes the rest."""
        surrogates.audit(connection, chosen.audits, now)
        return answer(connection, chosen.answered, now)

    def judge(self, connection: Transaction, now: int) -> None:
        """Compare audits that have ended, and switch off what breaks its promise."""
        if not self._surrogates:
            return
        known = self._surrogates.versions
        for version, record in surrogates.compare(connection, said).items():
            surrogate = known.get(version)
            if surrogate is None or not breaks_its_promise(surrogate, record):
                continue
            if surrogates.switch_off(connection, Off(version, surrogate.task, now, record)):
                _log.error(
                    "surrogate_off",
                    task=surrogate.task,
                    version=version,
                    compared=record.compared,
                    differed=record.differed,
                    certified=surrogate.promise.alpha,
                )
