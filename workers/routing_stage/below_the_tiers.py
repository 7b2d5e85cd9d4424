"""Answers below the tiers: rules, earlier answers, surrogates, and audits of the first and last."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from tierqueue.ledger.in_force import pauses, reusable_answers, surrogates
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.reusable_answers import FormerItem
from tierqueue.ledger.in_force.surrogates import Record, SwitchOff
from tierqueue.ledger.lifecycle.deaths import answer
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Ledger, Transaction
from tierqueue.router.item import BelowTier
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.routing.below import AuditTerms, agrees
from tierqueue.tasks.routing.decide import Decisions
from tierqueue.tasks.routing.reuse import Reuse
from tierqueue.tasks.routing.rules.serving import Rules
from tierqueue.tasks.routing.surrogates import Surrogates

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceStops:
    """Versions that were switched off, and what somebody paused."""

    versions: Sequence[str]
    paused: Sequence[Pause]


class BelowTheTiers:
    """Whoever a policy lets answer below the tiers; false where it is nobody."""

    def __init__(self, policy: Policy) -> None:
        self._rules = Rules(policy)
        self._reuse = Reuse(policy)
        self._surrogates = Surrogates(policy)
        self._promises = {**self._rules.promises, **self._surrogates.promises}
        for task, one in self._surrogates.deferring.items():
            _log.error("surrogate_deferring", task=task, version=one.version, why=one.why)
        self.answered: Counter[str] = Counter({who.value: 0 for who in BelowTier})
        """So many items since this process began, by who answered."""

    def followed_by(self, policy: Policy) -> "BelowTheTiers":
        """Whoever another policy lets answer, in the same process."""
        after = BelowTheTiers(policy)
        after.answered = self.answered
        return after

    @property
    def deferring(self) -> dict[str, str]:
        """Why surrogates that lack their embedding answer nothing, by task type."""
        return {task: one.why for task, one in self._surrogates.deferring.items()}

    def __bool__(self) -> bool:
        return bool(self._promises) or bool(self._reuse)

    def wants(self, task: str) -> bool:
        """Whether the arguments of such items are to be read."""
        return any(task in who.tasks for who in (self._rules, self._reuse, self._surrogates))

    def out_of_service(self, connection: Transaction) -> ServiceStops:
        """What holds anybody of them back now."""
        if not self:
            return ServiceStops((), ())
        off: list[SwitchOff] = []
        if self._promises:
            off = surrogates.switched_off(connection, self._promises)
        return ServiceStops([one.version for one in off], tuple(pauses.in_force(connection)))

    def serve(
        self,
        ledger: Ledger,
        chosen: Decisions,
        arguments: Mapping[str, Mapping[str, Any]],
        out_of_service: ServiceStops,
        now: int,
    ) -> Decisions:
        """Answer what can be answered of ``chosen``; nothing is written yet."""
        off, paused = out_of_service.versions, out_of_service.paused
        if self._rules:
            chosen = self._rules.serve(chosen, arguments, off, paused)
        if self._reuse:
            asking = self._reuse.asking(chosen, arguments, paused)
            former: dict[str, FormerItem] = {}
            if asking:
                with ledger.read() as connection:
                    former = reusable_answers.former(
                        connection, [asks.key for asks in asking.values()]
                    )
            chosen = self._reuse.serve(chosen, asking, former, now)
        if self._surrogates:
            chosen = self._surrogates.serve(chosen, arguments, off, paused)
        return chosen

    def confirm(self, connection: Transaction, chosen: Decisions) -> Decisions:
        """``chosen``, in the transaction that writes it: an answer that was erased meanwhile, or
        said to be wrong, answers nothing, and its item goes its way.
        """
        sources = {one.of for one in chosen.answered if one.of is not None}
        if not sources:
            return chosen
        stands = {None, *reusable_answers.still_valid(connection, sources)}
        gone = [one.routed for one in chosen.answered if one.of not in stands]
        kept = [one for one in chosen.answered if one.of in stands]
        return replace(chosen, routed=[*chosen.routed, *gone], answered=kept)

    def write(self, connection: Transaction, chosen: Decisions, now: int) -> Ends:
        """Write answers, audits and what is asked, in the transaction that routes the rest."""
        reusable_answers.ask(connection, chosen.asked, now)
        surrogates.audit(connection, chosen.audits, now)
        self.answered.update(one.by.value for one in chosen.answered)
        return answer(connection, chosen.answered, now)

    def judge(self, connection: Transaction, now: int) -> None:
        """Compare audits that have ended, and switch off what breaks its promise."""
        if not self._promises:
            return
        for version, record in surrogates.compare(connection, agrees).items():
            promise = self._promises.get(version)
            if promise is None or not promise.broken(record):
                continue
            if surrogates.switch_off(connection, SwitchOff(version, promise.task, now, record)):
                _cry(version, promise, record)


def _cry(version: str, promise: AuditTerms, record: Record) -> None:
    said = {
        "task": promise.task,
        "version": version,
        "compared": record.compared,
        "differed": record.differed,
    }
    if promise.by is BelowTier.RULE:
        _log.error("rule_off", **said, agreement=1 - promise.alpha)
    else:
        _log.error("surrogate_off", **said, certified=promise.alpha)
