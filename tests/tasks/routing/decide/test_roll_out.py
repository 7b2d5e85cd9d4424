"""A policy that is applied while others route and claim: what they take, and what waits."""

from unittest.mock import Mock

from tests.ledger.placed import column
from tests.tasks.routing.decide.in_force import (
    BEFORE,
    FRONTIER,
    applied,
    claim,
    policy_of,
    settled,
    started,
    submit,
    where,
)
from tierqueue.ledger.in_force import policies
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.routing.side_by_side import ROLL_OUT_US, Policies
from tierqueue.workers.routing_stage.stage import RoutingStage


def test_a_routing_stage_takes_what_is_applied_without_a_restart(ledger: Ledger) -> None:
    stage = started(ledger, BEFORE)
    (before,) = submit(ledger)
    settled(stage)
    assert where(ledger, [before]) == {("queued", "open")}
    applied(ledger, BEFORE + FRONTIER)
    (after,) = submit(ledger)
    settled(stage)
    assert stage.heartbeat_detail()["policy"] == policy_of(BEFORE + FRONTIER).digest
    assert not stage.heartbeat_detail()["moments"]["superseded"]
    assert where(ledger, [before, after]) == {("queued", "best")}


def test_a_routing_stage_tells_its_process_what_it_took(ledger: Ledger) -> None:
    told: list[str] = []
    stage = RoutingStage(
        ledger=ledger,
        policy=policy_of(BEFORE),
        send=lambda *_: None,
        delivery=Mock(spec=Delivery),
        received=lambda _: None,
        resend_seconds=60.0,
        checkpoint=lambda _: None,
        taken=lambda policy: told.append(policy.digest),
    )
    stage.start()
    applied(ledger, BEFORE + FRONTIER)
    settled(stage)
    assert told == [policy_of(BEFORE + FRONTIER).digest]


def test_a_file_puts_nothing_in_force_once_a_policy_was_applied(ledger: Ledger) -> None:
    applied(ledger, BEFORE + FRONTIER)
    stage = started(ledger, BEFORE)
    (item_id,) = submit(ledger)
    settled(stage)
    assert where(ledger, [item_id]) == {("queued", "best")}
    with ledger.read() as connection:
        assert policies.in_force(connection) == policy_of(BEFORE + FRONTIER).digest


def test_a_routing_stage_of_an_older_release_takes_nothing_out_of_force(ledger: Ledger) -> None:
    stage = started(ledger, BEFORE)
    applied(ledger, BEFORE + FRONTIER)
    settled(stage)
    with ledger.write() as connection:
        policies.start(connection, policy_of(BEFORE).digest, database_now(connection))
    (item_id,) = submit(ledger)
    settled(stage)
    assert where(ledger, [item_id]) == {("queued", "best")}
    with ledger.read() as connection:
        assert policies.in_force(connection) == policy_of(BEFORE + FRONTIER).digest


def test_a_routing_stage_that_cannot_go_by_what_was_applied_stands_aside(ledger: Ledger) -> None:
    stage = started(ledger, BEFORE)
    table = f'[tasks.ticket.surrogate]\nfile = "/nowhere"\nsha256 = "{"a" * 64}"\n'
    applied(ledger, BEFORE + table)
    (item_id,) = submit(ledger)
    settled(stage)
    assert column(ledger, item_id, "state") == "submitted"
    assert stage.heartbeat_detail()["moments"]["superseded"]
    applied(ledger, BEFORE)
    settled(stage)
    assert where(ledger, [item_id]) == {("queued", "open")}
    assert not stage.heartbeat_detail()["moments"]["superseded"]


def test_a_worker_that_has_not_taken_what_was_applied_keeps_to_its_own_walls(
    ledger: Ledger,
) -> None:
    stage = started(ledger, BEFORE + FRONTIER)
    applied(ledger, BEFORE)
    (item_id,) = submit(ledger)
    settled(stage)
    assert where(ledger, [item_id]) == {("queued", "open")}
    assert claim(ledger, item_id, BEFORE + FRONTIER).waiting == 1
    assert column(ledger, item_id, "reason") == "other_policy"
    assert where(ledger, [item_id]) == {("waiting", "open")}


def test_an_item_waits_for_the_end_of_the_roll_out_where_the_policy_before_forbids_its_call(
    ledger: Ledger,
) -> None:
    stage = started(ledger, BEFORE + FRONTIER)
    (before,) = submit(ledger)
    settled(stage)
    assert where(ledger, [before]) == {("queued", "best")}
    applied(ledger, BEFORE)
    with ledger.read() as connection:
        last = policies.applied(connection)
    assert last is not None
    rolling = Policies(policy_of(BEFORE + FRONTIER)).followed_by(policy_of(BEFORE), last.at)
    # The slice of the policy before comes to a worker that has taken the new one.
    assert claim(ledger, before, BEFORE, policies=rolling).claimed == []
    settled(stage)
    assert where(ledger, [before]) == {("queued", "open")}
    assert claim(ledger, before, BEFORE, policies=rolling).waiting == 1
    assert column(ledger, before, "ready_at") == last.at + ROLL_OUT_US
