"""Rules in the routing stage: their answers end items, and their audits judge them."""

from typing import Any

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from tests.ledger.placed import column
from tests.tasks.routing.rules.ruled import TASK, stated, words
from tests.tasks.routing.tickets import FOREIGN
from tests.workers.routing_stage.test_surrogates_at_work import answer, stage_on, submitted, told
from tierqueue.ledger.accounting.audit import audit as discrepancies
from tierqueue.ledger.in_force import pauses, surrogates
from tierqueue.ledger.in_force.surrogates import Record
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import reusable, surrogate_audits
from tierqueue.router.errors import Misconfigured
from tierqueue.router.lifecycle import State
from tierqueue.router.policy.policy import parse_policy

KNOWN = "I have lost my card"
REUSE = f'[tasks."{TASK}"]\nreuse = "24h"\n'


def test_an_answer_ends_its_item_at_once_and_is_owed_to_its_producer(ledger: Ledger) -> None:
    answered, deferred = submitted(ledger, KNOWN), submitted(ledger, FOREIGN, number=2)
    stage, delivery = stage_on(ledger, words())
    stage.round()
    assert column(ledger, answered, "state") == State.SUCCEEDED
    assert column(ledger, answered, "tier") == "rule"
    assert column(ledger, answered, "deployment") is None
    assert column(ledger, answered, "receipt")["rule"] == "tickets"
    assert column(ledger, deferred, "state") == State.QUEUED
    assert told(delivery)[answered]["output"] == {"label": "card", "confidence": None}
    assert stage.heartbeat_detail()["counts"]["rule"] == 1
    with ledger.read() as connection:
        assert discrepancies(connection) == []


def audited(ledger: Ledger, label: str, count: int, **keys: Any) -> list[dict[str, Any]]:
    """So many audits whose model says ``label``, compared; what was logged."""
    stage, _ = stage_on(ledger, words(audit=1.0, **keys))
    for number in range(count):
        item_id = submitted(ledger, KNOWN, number=number)
        stage.round()
        assert column(ledger, item_id, "state") == State.QUEUED
        answer(ledger, item_id, label)
    with capture_logs() as logs:
        for _ in range(2):
            stage._ticked = True
            stage.round()
    return [dict(line) for line in logs]


def test_audits_that_agree_leave_them_in_service(ledger: Ledger) -> None:
    logs = audited(ledger, "card", 6)
    (version,) = words().audited
    assert [line for line in logs if line["event"] == "rule_off"] == []
    with ledger.read() as connection:
        assert surrogates.record(connection, version) == Record(6, 0)
        assert surrogates.switched_off(connection, [version]) == []


def test_audits_that_differ_switch_them_off_loudly_until_they_are_changed(ledger: Ledger) -> None:
    logs = audited(ledger, "transfer", 6)
    (said,) = [line for line in logs if line["event"] == "rule_off"]
    assert (said["log_level"], said["task"], said["differed"]) == ("error", TASK, 6)
    assert said["agreement"] == pytest.approx(0.9)
    item_id = submitted(ledger, KNOWN, number=7)
    stage_on(ledger, words())[0].round()
    assert column(ledger, item_id, "state") == State.QUEUED
    item_id = submitted(ledger, KNOWN, number=8)
    stage_on(ledger, words(words={"lost my card": "transfer"}))[0].round()
    assert column(ledger, item_id, "output")["label"] == "transfer"


def test_what_is_asked_under_another_prompt_goes_there_and_is_written_down(
    ledger: Ledger,
) -> None:
    prompt = f'[tasks."{TASK}".prompt]\nsystem = "Be brief."\nshare = 1.0\n'
    item_id = submitted(ledger, KNOWN)
    deferred = submitted(ledger, FOREIGN, number=2)
    stage_on(ledger, words(prompt))[0].round()
    assert column(ledger, item_id, "state") == column(ledger, deferred, "state") == State.QUEUED
    with ledger.read() as connection:
        found = connection.execute(select(surrogate_audits)).all()
    (version,) = words().audited
    assert [(row.item_id, row.version, row.answer) for row in found] == [(item_id, version, None)]


def test_a_paused_task_type_is_not_answered(ledger: Ledger) -> None:
    with ledger.write() as connection:
        pauses.pause(connection, "task", TASK, "me")
    item_id = submitted(ledger, KNOWN)
    stage_on(ledger, words())[0].round()
    assert column(ledger, item_id, "state") == State.ROUTED


def test_what_is_audited_gets_a_models_answer_and_no_earlier_one(ledger: Ledger) -> None:
    policy = words(REUSE, audit=1.0)
    first = submitted(ledger, KNOWN)
    stage_on(ledger, policy)[0].round()
    answer(ledger, first, "card")
    second = submitted(ledger, KNOWN, number=2)
    stage_on(ledger, policy)[0].round()
    assert column(ledger, second, "state") == State.QUEUED
    with ledger.read() as connection:
        assert connection.execute(select(func.count()).select_from(reusable)).scalar() == 0
        assert connection.execute(select(func.count()).select_from(surrogate_audits)).scalar() == 2


def test_a_stage_does_not_start_with_a_table_that_is_not_there() -> None:
    gone = parse_policy(stated(file="/nowhere/tickets.csv", sha256="0" * 64), "test")
    with pytest.raises(Misconfigured, match=r"rules\.file: /nowhere/tickets\.csv cannot be read"):
        stage_on(None, gone)  # type: ignore[arg-type]
