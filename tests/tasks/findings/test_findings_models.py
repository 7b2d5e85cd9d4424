"""What the doctor says of a deployment that another model answers for."""

from tests.tasks.findings.facts import HOUSE, NOW, ROUTING, facts, wrong
from tierqueue.ledger.in_force.observed import Changed

CHANGED = Changed("house", "m", "m-1", "m-2", NOW - 1_000_000)


def test_another_model_is_wrong_until_somebody_acknowledged_it() -> None:
    told = {"models_changed": [CHANGED], "deployments": {"house": HOUSE}}
    found = wrong(facts(ROUTING, **told))["served_model_changed"]
    assert "deployment house is answered by m-2 since" in found.what
    assert "before it was m-1" in found.what
    assert found.detail["served"] == "m-2"
    assert "served_model_changed" not in wrong(facts(ROUTING, **told, acknowledged_at=NOW))


def test_what_the_policy_no_longer_asks_for_is_not_told() -> None:
    other = Changed("house", "former", "m-1", "m-2", NOW)
    told = {"models_changed": [other], "deployments": {"house": HOUSE}}
    assert "served_model_changed" not in wrong(facts(ROUTING, **told))
