"""A surrogate in the routing stage: its answers end items, and its audits judge it."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.ledger.placed import column, place
from tests.tasks.routing.tickets import (
    FOREIGN,
    KNOWN,
    POLICY,
    arguments,
    content,
    embedded,
    policy,
)
from tierqueue.ledger.accounting.audit import audit as discrepancies
from tierqueue.ledger.in_force import policy_versions, surrogates
from tierqueue.ledger.in_force.surrogates import Record
from tierqueue.ledger.results.promises import Promise, make_once
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items
from tierqueue.ledger.tables import policy_versions as policy_versions_table
from tierqueue.router.lifecycle import State
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.workers.routing_stage.stage import RoutingStage


def stage_on(ledger: Ledger, policy: Policy) -> tuple[RoutingStage, Mock]:
    """A routing stage whose slices go nowhere, and who is told of what ended."""
    delivery = Mock(spec=Delivery)
    stage = RoutingStage(
        ledger=ledger,
        policy=policy,
        send=lambda *_: None,
        delivery=delivery,
        received=lambda _: None,
        resend_seconds=4.0,
        checkpoint=lambda _: None,
    )
    return stage, delivery


def submitted(
    ledger: Ledger, text: str = KNOWN, deployment: str | None = None, *, number: int = 1
) -> str:
    """An item whose id the draw of a small audit leaves out."""
    item_id = place(
        ledger,
        "submitted",
        id=f"item-{number}",
        task="tierqueue.classify",
        arguments=arguments(text),
        tier=None,
        deployment=deployment,
        budget=None,
        bound=None,
        token_bound=None,
    )
    with ledger.write() as connection:
        make_once(connection, Promise(id=item_id, item_id=item_id, task="tierqueue.classify"), 1)
    return item_id


def told(delivery: Mock) -> dict[str, Mapping[str, Any]]:
    """The answers that were handed over for delivery, by item."""
    ends = [call.args[0] for call in delivery.ended.call_args_list]
    return {ending.item_id: ending.answer for end in ends for ending in end.ended}


def test_an_answer_ends_its_item_at_once_and_is_owed_to_its_producer(
    ledger: Ledger, tmp_path: Path
) -> None:
    answered, deferred = submitted(ledger), submitted(ledger, FOREIGN, number=2)
    stage, delivery = stage_on(ledger, policy(tmp_path))
    stage.round()
    assert column(ledger, answered, "state") == State.SUCCEEDED
    assert column(ledger, answered, "output") == {"label": "login", "confidence": None}
    assert column(ledger, answered, "receipt")["tier"] == "surrogate"
    assert column(ledger, answered, "tier") == "surrogate"
    assert stage.heartbeat_detail()["counts"]["surrogate"] == 1
    assert column(ledger, answered, "ended_at") is not None
    assert column(ledger, answered, "budget") == "default"
    assert column(ledger, deferred, "state") == State.QUEUED
    assert told(delivery)[answered]["output"]["label"] == "login"
    owed = [
        promise.item_id for end in delivery.ended.call_args_list for promise in end.args[0].owed
    ]
    assert owed == [answered]
    with ledger.read() as connection:
        assert discrepancies(connection) == []


def test_an_answer_bears_no_deployment_though_its_item_was_routed_before(
    ledger: Ledger, tmp_path: Path
) -> None:
    item_id = submitted(ledger, deployment="house")
    stage_on(ledger, policy(tmp_path))[0].round()
    assert column(ledger, item_id, "state") == State.SUCCEEDED
    assert column(ledger, item_id, "deployment") is None


def test_where_its_embedding_is_not_it_leaves_all_to_the_model_and_cries(
    ledger: Ledger, tmp_path: Path
) -> None:
    item_id = submitted(ledger)
    with capture_logs() as logs:
        stage, _ = stage_on(ledger, embedded(tmp_path, tmp_path / "gone"))
        stage.round()
    (said,) = [line for line in logs if line["event"] == "surrogate_deferring"]
    assert said["log_level"] == "error"
    assert said["version"] in embedded(tmp_path).audited
    assert column(ledger, item_id, "state") == State.QUEUED
    (why,) = stage.heartbeat_detail()["deferring"].values()
    assert said["why"] == why
    again, _ = stage_on(ledger, embedded(tmp_path))
    assert again.heartbeat_detail()["deferring"] == {}
    later = submitted(ledger, number=2)
    again.round()
    assert column(ledger, later, "state") == State.SUCCEEDED


def test_what_was_cancelled_meanwhile_is_not_answered(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item_id = submitted(ledger)
    stage, delivery = stage_on(ledger, policy(tmp_path))
    ahead = stage._choose_ahead()
    monkeypatch.setattr(stage, "_choose_ahead", lambda: ahead)
    with ledger.write() as connection:
        connection.execute(update(items).where(items.c.id == item_id).values(state="cancelled"))
    stage.round()
    assert column(ledger, item_id, "state") == State.CANCELLED
    assert told(delivery) == {}


def answer(ledger: Ledger, item_id: str, label: str) -> None:
    """What the model says of an audited item."""
    with ledger.write() as connection:
        ended = {"state": "succeeded", "output": {"label": label}, "ended_at": 1}
        connection.execute(update(items).where(items.c.id == item_id).values(**ended))


def test_audits_that_agree_leave_it_in_service(ledger: Ledger, tmp_path: Path) -> None:
    stage, _ = stage_on(ledger, policy(tmp_path, audit=1.0))
    placed = [submitted(ledger, number=number) for number in range(6)]
    stage.round()
    for item_id in placed:
        assert column(ledger, item_id, "state") == State.QUEUED
        answer(ledger, item_id, "login")
    stage._ticked = True
    stage.round()
    version = next(iter(policy(tmp_path).audited))
    with ledger.read() as connection:
        assert surrogates.record(connection, version) == Record(6, 0)
        assert surrogates.switched_off(connection, [version]) == []


def test_audits_that_differ_switch_it_off_loudly_and_for_good(
    ledger: Ledger, tmp_path: Path
) -> None:
    stage, _ = stage_on(ledger, policy(tmp_path, audit=1.0))
    for item_id in [submitted(ledger, number=number) for number in range(6)]:
        stage.round()
        answer(ledger, item_id, "card")
    stage._ticked = True
    with capture_logs() as logs:
        stage.round()
        stage._ticked = True
        stage.round()
    (said,) = [line for line in logs if line["event"] == "surrogate_off"]
    assert said["log_level"] == "error"
    assert said["differed"] == 6
    stated = policy(tmp_path)
    with ledger.read() as connection:
        (off,) = surrogates.switched_off(connection, stated.audited)
    assert off.task == "tierqueue.classify"
    item_id = submitted(ledger, number=7)
    stage_on(ledger, stated)[0].round()
    assert column(ledger, item_id, "state") == State.QUEUED


def test_a_paused_task_type_is_not_answered(ledger: Ledger, tmp_path: Path) -> None:
    from tierqueue.ledger.in_force import pauses

    with ledger.write() as connection:
        pauses.pause(connection, "task", "tierqueue.classify", "me")
    item_id = submitted(ledger)
    stage_on(ledger, policy(tmp_path))[0].round()
    assert column(ledger, item_id, "state") == State.ROUTED


def test_it_answers_nothing_until_its_policy_is_rolled_out(ledger: Ledger, tmp_path: Path) -> None:
    named = policy(tmp_path)
    file = tmp_path / "classify.safetensors"
    text = POLICY.format(file=file, sha256=sha256(content()).hexdigest(), audit=0.01)
    assert named.digest == parse_policy(text, "test").digest
    with ledger.write() as connection:
        policy_versions.apply(connection, named, text, by="ada", reason=None)
    stage, _ = stage_on(ledger, named)
    stage.start()
    first = submitted(ledger)
    stage.round()
    assert column(ledger, first, "deployment") == "house"
    with ledger.write() as connection:
        connection.execute(update(policy_versions_table).values(at=1))
    later, _ = stage_on(ledger, named)
    later.start()
    second = submitted(ledger, number=2)
    later.round()
    assert column(ledger, second, "state") == "succeeded"
