"""Conditions: what every process reads and writes of a deployment that cannot serve."""

from collections.abc import Sequence

from tests.ledger.conftest import Everywhere
from tests.ledger.moves import Moves, settlement
from tests.ledger.placed import place
from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.in_force.conditions import Change
from tierqueue.ledger.session import Ledger
from tierqueue.router.condition import FAULTS, Condition, Fault, ServedCall
from tierqueue.router.lifecycle import State

SECOND = 1_000_000
DOWN = [
    Fault(
        item=f"i-{number}",
        begun=number * SECOND,
        at=number * SECOND,
        code="outage",
        detail="HTTP 503",
    )
    for number in range(1, FAULTS + 1)
]


def noted(ledger: Ledger, *events: ServedCall | Fault, deployment: str = "house") -> Change:
    with ledger.write() as connection:
        [change] = conditions.note(connection, {deployment: events})
    return change


def read(ledger: Ledger) -> dict[str, Condition]:
    with ledger.read() as connection:
        return conditions.by_deployment(connection)


def test_a_deployment_that_nobody_called_has_no_condition(ledger: Ledger) -> None:
    assert read(ledger) == {}


def test_what_is_noted_is_what_every_process_reads(ledger: Ledger) -> None:
    change = noted(ledger, *DOWN)
    assert change.before == Condition(deployment="house")
    assert change.now.unavailable
    assert read(ledger) == {"house": change.now}
    cleared = noted(ledger, ServedCall(item="s", begun=60 * SECOND, at=61 * SECOND))
    assert cleared.before == change.now
    assert read(ledger) == {"house": Condition(deployment="house", served_at=61 * SECOND)}


def test_an_item_is_put_on_trial_and_taken_off_it(ledger: Ledger) -> None:
    noted(ledger, *DOWN)
    with ledger.write() as connection:
        put = [
            conditions.put_on_trial(connection, "house", item, 30 * SECOND, 90 * SECOND)
            for item in ("i", "j")
        ]
    assert put == [True, False]
    assert read(ledger)["house"].may_call("i", 30 * SECOND)
    with ledger.write() as connection:
        conditions.end_trial(connection, "house", "another", 40 * SECOND)
    assert read(ledger)["house"].probe == "i"
    with ledger.write() as connection:
        conditions.end_trial(connection, "house", "i", 40 * SECOND)
    assert read(ledger)["house"].wants_probe(40 * SECOND)


def test_a_trial_is_under_way_while_its_item_is_queued_or_running(ledger: Ledger) -> None:
    states = ("queued", "running", "routed", "dead")
    placed = {state: place(ledger, state, deployment=state) for state in states}
    with ledger.read() as connection:
        assert conditions.under_way(connection, placed) == {"queued", "running"}
        assert conditions.under_way(connection, {"elsewhere": placed["queued"]}) == set()
        assert conditions.under_way(connection, {}) == set()


def test_somebody_is_told_once_and_once_of_its_end(ledger: Ledger) -> None:
    noted(ledger, *DOWN)
    with ledger.write() as connection:
        assert [conditions.note_notified(connection, "house", at) for at in (7, 8)] == [True, False]
    noted(ledger, ServedCall(item="s", begun=60 * SECOND, at=61 * SECOND))
    with ledger.write() as connection:
        assert [conditions.note_notified(connection, "house", None) for _ in range(2)] == [
            True,
            False,
        ]


def test_what_waits_for_a_deployment_is_counted(ledger: Ledger) -> None:
    for state in ("routed", "queued", "waiting", "running", "dead", "succeeded"):
        place(ledger, state, deployment="house")
    place(ledger, "routed", deployment="other")
    with ledger.read() as connection:
        assert conditions.waiting(connection, ["house", "nobody"]) == {"house": 3}
        assert conditions.waiting(connection, []) == {}


def test_the_end_of_an_item_s_last_call_is_known_where_it_was_a_fault(moves: Moves) -> None:
    claims = [*moves.running(), *moves.running(), *moves.running()]
    for claim, outcome in zip(claims, ("unavailable", "failed", "throttled"), strict=True):
        moves.settle(settlement(claim, outcome=outcome, next_state=State.WAITING, cost=0))
    wanted = [(claim.item.id, claim.fence + 1) for claim in claims]
    with moves.ledger.read() as connection:
        found = conditions.last_faults(connection, wanted)
        assert conditions.last_faults(connection, []) == {}
    assert found.keys() == {claims[0].item.id, claims[1].item.id}
    assert all(at >= claims[0].started_at for at in found.values())


def note_at_once(given: tuple[str, int]) -> None:
    """One process's faults."""
    url, number = given
    ledger = Ledger(url)
    for at in range(10):
        noted(ledger, Fault(item=f"{number}", begun=at, at=at, code="outage", detail="HTTP 500"))
    ledger.close()


def test_processes_that_note_at_once_lose_no_fault(
    ledger: Ledger, ledger_url: str, everywhere: Everywhere
) -> None:
    given: Sequence[tuple[str, int]] = [(ledger_url, number) for number in range(4)]
    everywhere(note_at_once, given)
    assert read(ledger)["house"].faults == 40
