"""An operator's change of a ceiling is in force, and on record."""

import threading

import pytest

from tests.ledger.moves import WORKER, Moves, ceiling, settlement
from tests.ledger.placed import column
from tests.waiting import until
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.lifecycle import claims
from tierqueue.ledger.operations import ceiling_changes
from tierqueue.ledger.session import Ledger
from tierqueue.router.policy.tables import CeilingRule


def test_a_ceiling_that_is_set_again_says_what_it_was_and_is_the_new_one(ledger: Ledger) -> None:
    for limit, before in (("1usd", None), ("2usd", 1_000_000_000), ("3usd", 2_000_000_000)):
        with ledger.write() as connection:
            rule = CeilingRule(scope="everything", limit=limit)
            assert books.put(connection, rule, by="ada", now=1) == before


def raised(ledger: Ledger, limit: int) -> list[str]:
    """Raise the ceiling over everything; the items that it had ended and that are replayed."""
    rule = ceiling("everything", limit)
    with ledger.write() as connection:
        ceiling_changes.in_force(connection, "everything", "*", "total")
        ceiling_changes.change(connection, rule, "ada")
        return ceiling_changes.replay_stopped_by(connection, rule, "ada")


def test_what_a_claim_under_way_ends_by_the_former_limit_is_replayed_too(
    postgresql_url: str,
) -> None:
    ledger, other = (
        Ledger(postgresql_url, frozen_seconds=60),
        Ledger(postgresql_url, frozen_seconds=60),
    )
    moves = Moves(ledger)
    moves.ceilings(ceiling("everything", 50))
    queued = moves.ready(bound=100)
    [item] = queued
    replayed: list[list[str]] = []
    raising = threading.Thread(target=lambda: replayed.append(raised(other, 1_000)))
    with ledger.write() as connection:
        known = claims.read(connection, queued)
        ended = claims.claim(connection, WORKER, queued, known, moves.now()).ends.ended
        assert [ending.item_id for ending in ended] == [item]
        raising.start()
        until(lambda: waits_for_a_lock(other))
    raising.join()
    assert replayed == [[item]]
    assert column(ledger, item, "state") == "submitted"
    ledger.close()
    other.close()


def test_a_claim_that_waited_for_a_raise_goes_by_the_new_limit(postgresql_url: str) -> None:
    ledger, other = (
        Ledger(postgresql_url, frozen_seconds=60),
        Ledger(postgresql_url, frozen_seconds=60),
    )
    moves = Moves(ledger)
    moves.ceilings(ceiling("everything", 150))
    [spent] = moves.running(bound=100)
    moves.settle(settlement(spent, cost=100))
    queued = moves.ready(bound=100)
    claimed: list[int] = []
    claiming = threading.Thread(target=lambda: claimed.append(len(moves.claim(queued).claimed)))
    rule = ceiling("everything", 1_000)
    with other.write() as connection:
        ceiling_changes.change(connection, rule, "ada")
        ceiling_changes.replay_stopped_by(connection, rule, "ada")
        claiming.start()
        until(lambda: waits_for_a_lock(ledger))
    claiming.join()
    assert claimed == [1]
    ledger.close()
    other.close()


def waits_for_a_lock(ledger: Ledger) -> bool:
    """Whether some connection of this database waits for another's lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
    with ledger.read() as connection:
        return bool(connection.exec_driver_sql(query + "current_database()").scalar())


@pytest.mark.parametrize("raises", [1, 2])
def test_a_raise_races_with_workers_and_another_raise_and_nothing_stays_dead_or_comes_twice(
    ledger: Ledger, raises: int
) -> None:
    moves = Moves(ledger)
    moves.ceilings(ceiling("everything", 10))
    queued = moves.ready(60, bound=100)
    found: list[str] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for item, fence in queued.items():
                moves.claim({item: fence})
        except BaseException as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    def lift(limit: int) -> None:
        try:
            found.extend(raised(ledger, limit))
        except BaseException as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    threads = [
        threading.Thread(target=work),
        *(threading.Thread(target=lift, args=(100_000 + n,)) for n in range(raises)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(found) == len(set(found))
    states = {item: column(ledger, item, "state") for item in queued}
    assert set(states.values()) <= {"running", "submitted"}
    assert sorted(found) == sorted(item for item in states if states[item] == "submitted")
