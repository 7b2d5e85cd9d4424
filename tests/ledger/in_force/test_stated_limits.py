"""What operators set of deployments' limits is kept, changed and taken back."""

from tierqueue.ledger import audit_log
from tierqueue.ledger.in_force import stated_limits
from tierqueue.ledger.session import Ledger


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
