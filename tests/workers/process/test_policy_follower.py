"""A process that is told of a policy which was applied: once, and never one it cannot go by."""

import threading
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import select

from tests.waiting import until
from tierqueue.ledger.in_force import policy_versions
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import policy_versions as policy_versions_table
from tierqueue.router.errors import Misconfigured
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks.installation import Installation
from tierqueue.tasks.routing.side_by_side import ROLL_OUT_US, Policies
from tierqueue.workers.process.policy_follower import PolicyFollower

FILE = "allow_simulated = false\n"
OTHER = "[retry]\ncalls = 3\n"


@pytest.fixture
def installation(ledger: Ledger) -> Installation:
    made = Installation(Celery("test", set_as_current=False))
    made.ledger = ledger
    made.policy = parse_policy(FILE, "file")
    return made


def applied(ledger: Ledger, text: str) -> None:
    with ledger.write() as connection:
        policy = parse_policy(text, "test")
        policy_versions.apply(connection, policy, text, by="ada", reason=None)


def test_what_was_applied_is_taken_once(installation: Installation, ledger: Ledger) -> None:
    taken: list[Policies] = []
    watch = PolicyFollower(installation, taken.append)
    watch.begin()
    watch.check()
    assert taken == []
    applied(ledger, OTHER)
    watch.check()
    watch.check()
    assert [one.own.retry.calls for one in taken] == [3]
    assert installation.policy is taken[0].own
    assert [one.policy.digest for one in taken[0].before] == [parse_policy(FILE, "file").digest]


def test_what_cannot_be_taken_is_tried_once_until_another_is_applied(
    installation: Installation, ledger: Ledger
) -> None:
    tried: list[str] = []

    def take(policies: Policies) -> None:
        tried.append(policies.own.digest)
        if policies.own.retry.calls == 3:
            raise Misconfigured("an engine would have to be another one")

    watch = PolicyFollower(installation, take)
    watch.begin()
    own = installation.policy
    applied(ledger, OTHER)
    watch.check()
    watch.check()
    assert (len(tried), installation.policy) == (1, own)
    applied(ledger, OTHER.replace("3", "5"))
    watch.check()
    assert (len(tried), installation.policy.retry.calls) == (2, 5)


def test_a_process_starts_with_what_was_applied_and_needs_no_file(
    installation: Installation, ledger: Ledger
) -> None:
    assert installation.take_policy().digest == parse_policy(FILE, "file").digest
    applied(ledger, OTHER)
    del installation.policy
    assert installation.take_policy().retry.calls == 3
    assert installation.policy.retry.calls == 3


def test_a_worker_that_starts_during_a_roll_out_knows_the_policy_before(
    installation: Installation, ledger: Ledger
) -> None:
    applied(ledger, FILE)
    with ledger.write() as connection:
        # Long ago, but for the last two.
        connection.execute(policy_versions_table.update().values(at=1))
    applied(ledger, OTHER)
    applied(ledger, OTHER.replace("3", "5"))
    begun = PolicyFollower(installation, lambda _: None).begin()
    assert begun.own.retry.calls == 5
    texts = (FILE, OTHER)
    assert [one.policy.digest for one in begun.before] == [
        parse_policy(text, "test").digest for text in texts
    ]
    with ledger.write() as connection:
        connection.execute(policy_versions_table.update().values(at=1))
    assert PolicyFollower(installation, lambda _: None).begin().before == ()


def test_a_roll_out_ends_by_the_time_at_which_the_policy_was_applied(
    installation: Installation, ledger: Ledger
) -> None:
    taken: list[Policies] = []
    watch = PolicyFollower(installation, taken.append)
    watch.begin()
    applied(ledger, OTHER)
    watch.check()
    with ledger.read() as connection:
        at = connection.execute(select(policy_versions_table.c.at)).scalar_one()
    assert [one.until for one in taken[0].before] == [at + ROLL_OUT_US]


def test_the_thread_looks_and_ends(
    installation: Installation, ledger: Ledger, monkeypatch: Any
) -> None:
    monkeypatch.setattr("tierqueue.workers.process.policy_follower.EVERY_SECONDS", 0.01)
    taken: list[Policies] = []
    watch = PolicyFollower(installation, taken.append)
    watch.begin()
    watch.start()
    applied(ledger, OTHER)
    until(lambda: taken)
    watch.stop()
    for thread in threading.enumerate():
        if thread.name == "policy":
            thread.join(10)
