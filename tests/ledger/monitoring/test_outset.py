"""What a round of the routing stage begins from."""

from tests.ledger.placed import place
from tierqueue.ledger.in_force import conditions, pauses, policies, tier_concurrency
from tierqueue.ledger.monitoring import outset
from tierqueue.ledger.monitoring.outset import Outset
from tierqueue.ledger.session import Ledger
from tierqueue.router.condition import Fault, ServedCall
from tierqueue.router.item import Tier


def begun(ledger: Ledger) -> Outset:
    with ledger.read() as connection:
        return outset.read(connection)


def test_a_round_begins_from_what_is_in_force_and_from_what_is_due_next(ledger: Ledger) -> None:
    before = ledger.now()
    found = begun(ledger)
    assert before <= found.now <= ledger.now()
    assert found == Outset(found.now, None, None, paused=False, tiers_set=False, impaired=False)
    with ledger.write() as connection:
        policies.start(connection, "of this stage", before)
    for ready_at in (7, 5):
        place(ledger, "waiting", ready_at=ready_at)
    assert begun(ledger)[1:3] == ("of this stage", 5)


def test_a_round_hears_whether_anything_is_paused(ledger: Ledger) -> None:
    with ledger.write() as connection:
        pauses.pause(connection, "task", "tierqueue.complete", "ops")
    assert begun(ledger).paused
    with ledger.write() as connection:
        pauses.resume(connection, "task", "tierqueue.complete", "ops")
    assert not begun(ledger).paused


def test_a_round_hears_whether_an_operator_has_set_a_tier(ledger: Ledger) -> None:
    with ledger.write() as connection:
        tier_concurrency.set_concurrency(connection, Tier.GPU, 0, "ops")
    assert begun(ledger).tiers_set
    with ledger.write() as connection:
        tier_concurrency.unset(connection, Tier.GPU, "ops")
    assert not begun(ledger).tiers_set


def test_a_round_hears_of_what_is_known_against_a_deployment_until_it_serves(
    ledger: Ledger,
) -> None:
    at = ledger.now()
    fault = Fault(item="i", begun=at, at=at, code="outage", detail="503")
    with ledger.write() as connection:
        conditions.note(connection, {"small": [fault]})
    assert begun(ledger).impaired
    with ledger.write() as connection:
        conditions.note(connection, {"small": [ServedCall(item="i", begun=at + 1, at=at + 2)]})
    assert not begun(ledger).impaired
