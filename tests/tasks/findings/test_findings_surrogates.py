"""What the doctor says of a surrogate that its audits switched off."""

from tests.tasks.findings.facts import ROUTING, facts, process, wrong
from tierqueue.ledger.in_force.surrogates import Record, SwitchOff


def test_a_surrogate_that_was_switched_off_is_wrong_until_it_leaves_the_policy() -> None:
    off = SwitchOff("surrogate-abc", "tierqueue.classify", 1_700_000_000_000_000, Record(100, 23))
    found = wrong(facts(ROUTING, surrogates_off=[off]))["surrogate_off"]
    assert "23 of the last 100 audited answers differed" in found.what
    assert "go to the model" in found.meanwhile
    assert found.detail["version"] == "surrogate-abc"
    assert "surrogate_off" not in wrong(facts(ROUTING))


def test_rules_that_were_switched_off_are_wrong_and_those_that_somebody_retired_are_not() -> None:
    off = SwitchOff("rule-abc", "tierqueue.classify", 1_700_000_000_000_000, Record(40, 9))
    found = wrong(facts(ROUTING, surrogates_off=[off]))["rule_off"]
    assert "the rules for tierqueue.classify were switched off" in found.what
    assert "change the words or the table" in found.do
    retired = SwitchOff("rule-abc", "tierqueue.classify", 1_700_000_000_000_000, Record(0, 0))
    assert "rule_off" not in wrong(facts(ROUTING, surrogates_off=[retired]))


def test_a_stage_that_lacks_a_surrogates_embedding_is_wrong_while_it_lives() -> None:
    detail = {"deferring": {"tierqueue.classify": "/vectors has 0 files *.safetensors"}}
    found = wrong(facts(process("routing", detail=detail)))["surrogate_deferring"]
    assert "tierqueue.classify answers nothing in the routing stage" in found.what
    assert "/vectors has 0 files" in found.what
    assert "go to the model" in found.meanwhile
    assert found.detail["task"] == "tierqueue.classify"
    gone = process("routing", detail=detail, silent=60.0)
    assert "surrogate_deferring" not in wrong(facts(ROUTING, gone))
    assert "surrogate_deferring" not in wrong(facts(process("routing", detail={"deferring": {}})))
