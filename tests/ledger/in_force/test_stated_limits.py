"""What operators set of deployments' limits is kept, changed and taken back."""

from tests.ledger.moves import SECOND, Moves
from tierqueue.ledger import audit_log
from tierqueue.ledger.in_force import pauses, stated_limits
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.session import Ledger
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


def test_who_waits_for_a_limit_that_is_changed_asks_for_it_again_at_once(ledger: Ledger) -> None:
    moves = Moves(ledger)
    of_acme, of_other = moves.ready(), moves.ready(budget="other")
    until = moves.now() + 30 * SECOND
    with ledger.write() as connection:
        routes.give_back(connection, {**of_acme, **of_other}, until, Wait.BUDGET_RATE)
        assert [one.name for one in pauses.out_of_rate(connection, moves.now())] == [
            "acme",
            "other",
        ]
    with ledger.write() as connection:
        stated_limits.set_limits(connection, "budget:other", {"in_flight": 3}, "x")
        assert routes.wake_due(connection, moves.now()) == 1
        assert [one.name for one in pauses.out_of_rate(connection, moves.now())] == ["acme"]
        assert stated_limits.unset(connection, "budget:other", ["in_flight"], "x")
        stated_limits.set_limits(connection, "account:any", {"in_flight": 3}, "x")
        assert routes.wake_due(connection, moves.now()) == 1
    assert {moves.row(item)["state"] for item in (*of_acme, *of_other)} == {"routed"}
