"""One item's way through the real stages of one ledger, the test in the provider's place."""

from typing import Any
from unittest.mock import Mock

from tests.ledger.placed import column
from tierqueue.ledger.lifecycle import claims, items, leases, routes, settlements
from tierqueue.ledger.lifecycle.claims import Claim, Claimant
from tierqueue.ledger.lifecycle.items import NewItem, new_id
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.outcome import Outcome
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.settle.decide import settlement
from tierqueue.tasks.settle.lost import lost
from tierqueue.tasks.settle.write import Verdict
from tierqueue.workers.routing_stage.stage import RoutingStage


class Way:
    """One item's way through the real stages of one ledger, the test in the provider's place."""

    def __init__(self, ledger: Ledger, policy: Policy) -> None:
        self.ledger = ledger
        self.policy = policy
        self.stage = RoutingStage(
            ledger=ledger,
            policy=policy,
            send=lambda *_: None,
            delivery=Mock(spec=Delivery),
            received=lambda _: None,
            resend_seconds=60.0,
            checkpoint=lambda _: None,
        )
        self.stage.start()
        self.item_id = ""

    def submit(self, **stated: Any) -> None:
        """One item, with as little in it as there can be, but for what is ``stated``."""
        filled: dict[str, Any] = {"fingerprint": "f", "prefix": "p", "prompt_bytes": 500}
        new = NewItem(
            id=new_id(),
            task="ticket",
            arguments={"text": "x"},
            messages=2,
            output_limit=100,
            **{**filled, **stated},
        )
        with self.ledger.write() as connection:
            self.item_id = items.submit(connection, new, None)

    def column(self, name: str) -> Any:
        """What the item's row says."""
        return column(self.ledger, self.item_id, name)

    def claim(self) -> Claim | None:
        """Route the item, and claim it for the deployment it was routed to."""
        with self.ledger.write() as connection:
            routes.wake_due(connection, database_now(connection) + 3_600_000_000)
        self.stage.round()
        if self.column("state") != "queued":
            return None
        deployment = self.policy.deployments[self.column("deployment")]
        claimant = Claimant(
            worker="w",
            tier=deployment.tier.value,
            deployment=deployment.name,
            provider=deployment.provider,
            metered=deployment.metered,
            counted=(counted := self.policy.counts(deployment)),
            by_the_hour=counted and deployment.gpu_hour is not None,
            lease_us=60_000_000,
            policy=deployment.policy,
            terms=deployment.terms,
        )
        wanted = {self.item_id: self.column("fence")}
        with self.ledger.write() as connection:
            known = claims.read(connection, wanted)
            made = claims.claim(connection, claimant, wanted, known, database_now(connection))
        return made.claimed[0] if made.claimed else None

    def settle(self, claim: Claim, outcome: Outcome) -> None:
        """The provider's answer."""
        now = self.ledger.now()
        deployment = self.policy.deployments[str(claim.item.deployment)]
        verdict = Verdict(condition=None, own=False)
        made = settlement(
            claim, deployment, outcome, self.policy, now, 0.5, verdict=verdict, stopped=False
        )
        with self.ledger.write() as connection:
            ready = settlements.prepare(self.ledger.dialect, [made], now)
            settlements.settle(connection, ready)

    def lose(self, lease_us: int) -> None:
        """The claim's worker is gone: its lease ends after ``lease_us``."""
        with self.ledger.write() as connection:
            now = database_now(connection) + lease_us
            (found,) = leases.lapsed(connection, now + 1, 1)
            deployment = self.policy.deployments[found.attempt.deployment]
            until = found.attempt.started_at + lease_us
            made = lost(found, deployment, self.policy, until, 0.5, blamed=False)
            ready = settlements.prepare(self.ledger.dialect, [made], until)
            settlements.settle(connection, ready)
