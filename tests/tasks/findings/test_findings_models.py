"""What the doctor says of models: another one answers, or an engine cannot hold a team's own."""

from tests.tasks.findings.facts import GPU, HOUSE, NOW, ROUTING, facts, process, wrong
from tierqueue.ledger.in_force.observations import ModelChange

CHANGED = ModelChange("house", "m", "m-1", "m-2", NOW - 1_000_000)


def test_another_model_is_wrong_until_somebody_acknowledged_it() -> None:
    told = {"models_changed": [CHANGED], "deployments": {"house": HOUSE}}
    found = wrong(facts(ROUTING, **told))["served_model_changed"]
    assert "deployment house is answered by m-2 since" in found.what
    assert "before it was m-1" in found.what
    assert found.detail["served"] == "m-2"
    assert "served_model_changed" not in wrong(facts(ROUTING, **told, acknowledged_at=NOW))


def test_what_the_policy_no_longer_asks_for_is_not_told() -> None:
    other = ModelChange("house", "former", "m-1", "m-2", NOW)
    told = {"models_changed": [other], "deployments": {"house": HOUSE}}
    assert "served_model_changed" not in wrong(facts(ROUTING, **told))


def test_an_answer_that_a_living_worker_s_engine_cannot_hold_is_told_once() -> None:
    told = {"task": "team.note", "deployment": "house", "part": "lines[].code: pattern"}
    worker = process("worker", "gpu", detail={"not_held": [told]})
    beside = process("worker", "gpu", id="gpu@here:2", detail={"not_held": [told]})
    found = wrong(facts(ROUTING, worker, beside))["answer_not_held"]
    assert found.detail == told
    for name in told.values():
        assert name in found.what
    gone = process("worker", "gpu", silent=60.0, detail={"not_held": [told]})
    assert "answer_not_held" not in wrong(facts(ROUTING, GPU, gone))
