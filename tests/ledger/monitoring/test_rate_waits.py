"""How many items wait for the rates of deployments, whatever else waits."""

from tests.ledger.placed import place
from tests.ledger.plans import plans_of, reads_of_every_item
from tierqueue.ledger.monitoring import rate_waits
from tierqueue.ledger.session import Ledger

NOW = 5_000_000


def waits(ledger: Ledger, reason: str, ready_at: int = NOW + 1, deployment: str = "house") -> None:
    place(ledger, "waiting", reason=reason, ready_at=ready_at, deployment=deployment)


def test_those_that_wait_for_a_deployments_rate_or_its_accounts_are_counted(ledger: Ledger) -> None:
    for reason in (
        "requests_per_minute",
        "tokens_per_minute",
        "requests_per_day",
        "rate_forgotten",
    ):
        waits(ledger, reason)
    waits(ledger, "account_rate", deployment="other")
    # For themselves, for their budget, for calls in flight, or not any more.
    for reason in ("lost_claim", "budget_rate", "in_flight", "tier_in_flight"):
        waits(ledger, reason)
    waits(ledger, "requests_per_minute", NOW - 1)
    place(ledger, "routed", reason="requests_per_minute", ready_at=NOW + 1)
    with ledger.read() as connection:
        assert rate_waits.by_deployment(connection, NOW) == {"house": 4, "other": 1}


def test_no_other_items_are_read(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    with plans_of(ledger) as plans, ledger.read() as connection:
        rate_waits.by_deployment(connection, NOW)
    ledger.close()
    assert reads_of_every_item(plans) == []
