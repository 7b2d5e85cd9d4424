"""Policies that were applied: the record of it, and that the last one is in force."""

import pytest

from tierqueue.ledger import audit_log
from tierqueue.ledger.in_force import policies, policy_versions
from tierqueue.ledger.in_force.policies import AppliedPolicy
from tierqueue.ledger.session import Ledger
from tierqueue.router.policy.policy import parse_policy

FIRST = '[[ceilings]]\nscope = "everything"\nlimit = "5usd"\n'
SECOND = FIRST.replace("5usd", "7usd")


def applied(ledger: Ledger, text: str, reason: str | None = None) -> AppliedPolicy:
    with ledger.write() as connection:
        policy = parse_policy(text, "test")
        return policy_versions.apply(connection, policy, text, by="ada", reason=reason)


def test_what_was_applied_last_is_in_force(ledger: Ledger) -> None:
    first, second = applied(ledger, FIRST), applied(ledger, SECOND, "more to do")
    assert second.id > first.id
    with ledger.read() as connection:
        assert policies.in_force(connection) == second.digest
        assert policies.applied(connection) == second
        assert policies.applied_digest(connection) == second.digest


def test_each_time_stands_in_the_history_and_in_the_audit_log(ledger: Ledger) -> None:
    first, second = applied(ledger, FIRST), applied(ledger, SECOND, "more to do")
    again = applied(ledger, FIRST)
    with ledger.read() as connection:
        assert policy_versions.history(connection, 10) == [again, second, first]
        assert policy_versions.history(connection, 1) == [again]
        assert policy_versions.version(connection, second.id) == second
        assert policy_versions.version(connection, 99) is None
        assert policy_versions.before(connection, again) == second
        assert policy_versions.before(connection, first) is None
        noted = audit_log.newest(connection, 10)
    assert [(action.by, action.what) for action in noted] == [("ada", "apply policy")] * 3
    assert noted[1].detail == {
        "version": second.id,
        "digest": second.digest,
        "in force before": first.digest,
        "reason": "more to do",
    }


def test_where_nothing_was_applied_there_is_nothing(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert policies.applied(connection) is None
        assert policies.applied_digest(connection) is None
        assert policy_versions.history(connection, 10) == []


@pytest.mark.parametrize("reason", [None, "w\u00fchl' --"])
def test_texts_come_back_as_they_were(ledger: Ledger, reason: str | None) -> None:
    text = FIRST + "# \u00e4 ' \" \\ \U0001f600\n"
    applied(ledger, text, reason)
    with ledger.read() as connection:
        [found] = policy_versions.history(connection, 10)
    assert (found.text, found.reason) == (text, reason)
