"""What operators set of deployments' limits is kept, changed and taken back."""

import pytest

from tests.ledger.moves import SECOND, Moves
from tierqueue.ledger import audit_log
from tierqueue.ledger.in_force import pauses, stated_limits
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.session import Ledger, Transaction
from tierqueue.ledger.tables import limits
from tierqueue.router.lifecycle import Wait


def test_limits_are_kept_by_deployment_and_name(ledger: Ledger) -> None:
    with ledger.write() as connection:
        stated_limits.set_limits(connection, "a", {"in_flight": 3, "requests_per_day": 10**12}, "x")
        stated_limits.set_limits(connection, "b", {"in_flight": 5}, "x")
        stated_limits.set_limits(connection, "a", {"in_flight": 4}, "y")
    with ledger.read() as connection:
        assert stated_limits.all_set(connection) == {
            "a": {"in_flight": 4, "requests_per_day": 10**12},
            "b": {"in_flight": 5},
        }


def test_what_is_unset_is_gone_and_nothing_else(ledger: Ledger) -> None:
    with ledger.write() as connection:
        stated_limits.set_limits(connection, "a", {"in_flight": 3, "requests_per_day": 9}, "x")
        names = ["in_flight", "tokens_per_minute"]
        assert stated_limits.unset(connection, "a", names, "x") == ["in_flight"]
        assert stated_limits.unset(connection, "a", names, "x") == []
        assert stated_limits.all_set(connection) == {"a": {"requests_per_day": 9}}
        assert [action.what for action in audit_log.newest(connection, 9)] == ["limits", "limits"]


def test_since_when_anything_is_set_of_a_deployment_outlives_changes_and_no_break(
    ledger: Ledger,
) -> None:
    def since() -> int:
        with ledger.read() as connection:
            return stated_limits.all_since(connection)["a"]

    def put(**wanted: int) -> None:
        with ledger.write() as connection:
            stated_limits.set_limits(connection, "a", wanted, "x")

    put(in_flight=3)
    first = since()
    put(in_flight=4)
    put(requests_per_day=9)
    assert since() == first
    with ledger.write() as connection:
        stated_limits.unset(connection, "a", ["in_flight", "requests_per_day"], "x")
        assert stated_limits.all_since(connection) == {}
    put(in_flight=4)
    assert since() > first
    with ledger.write() as connection:
        connection.execute(limits.update().values(since=None, changed_at=5))
    assert since() == 5


def test_who_waits_for_a_limit_that_is_changed_asks_again_once_it_is_in_force_everywhere(
    ledger: Ledger,
) -> None:
    moves = Moves(ledger)
    of_acme, of_other = moves.ready(), moves.ready(budget="other")
    until = moves.now() + 30 * SECOND

    def in_force() -> int:
        return moves.now() + 2 * SECOND

    def waiting(connection: Transaction) -> list[str]:
        found = pauses.RateLimitedBudgets().ask(connection, in_force(), wholly=True)
        return [one.name for one in found]

    with ledger.write() as connection:
        routes.give_back(connection, {**of_acme, **of_other}, until, Wait.BUDGET_RATE)
        assert waiting(connection) == ["acme", "other"]
    with ledger.write() as connection:
        stated_limits.set_limits(connection, "budget:other", {"in_flight": 3}, "x")
        assert routes.wake_due(connection, moves.now()) == 0
        assert routes.wake_due(connection, in_force()) == 1
        assert waiting(connection) == ["acme"]
        assert stated_limits.unset(connection, "budget:other", ["in_flight"], "x")
        stated_limits.set_limits(connection, "account:any", {"in_flight": 3}, "x")
        assert routes.wake_due(connection, in_force()) == 1
    assert {moves.row(item).state for item in (*of_acme, *of_other)} == {"routed"}


def test_between_two_looks_at_all_that_waits_the_soonest_are_read_and_the_others_known(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "SOONEST", 2)
    moves = Moves(ledger)
    by_wait = {
        "deployment": (10, Wait.REQUESTS_PER_MINUTE),
        "soon": (20, Wait.BUDGET_RATE),
        "late": (30, Wait.BUDGET_IN_FLIGHT),
    }
    at = moves.now()
    for budget, (seconds, why) in by_wait.items():
        wanted = moves.ready(budget=budget)
        with ledger.write() as connection:
            routes.give_back(connection, wanted, at + seconds * SECOND, why)
    out_of_rate = pauses.RateLimitedBudgets()
    with ledger.read() as connection:

        def known(after: int, *, wholly: bool) -> list[str]:
            now = at + after * SECOND
            return [one.name for one in out_of_rate.ask(connection, now, wholly=wholly)]

        assert known(0, wholly=False) == ["soon"]
        assert known(0, wholly=True) == ["late", "soon"]
        assert known(1, wholly=False) == ["late", "soon"]
        assert known(25, wholly=False) == ["late"]
        assert known(31, wholly=False) == []
