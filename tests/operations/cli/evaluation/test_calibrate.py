"""``tierqueue router calibrate``, ``retire`` and ``promote``."""

import json
from pathlib import Path

import pytest
from sqlalchemy import insert

from tests.ledger.placed import place
from tests.operations.cli.command import Command
from tests.tasks.routing.tickets import policy
from tierqueue.ledger.evaluation import labels
from tierqueue.ledger.evaluation.labels import Label
from tierqueue.ledger.in_force import surrogates
from tierqueue.ledger.in_force.surrogates import Record, SwitchOff
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import attempts

TASK = "tierqueue.classify"


def _judged(ledger: Ledger, confidence: float | None, *, correct: bool) -> None:
    item_id = place(ledger, "succeeded", task=TASK, output={"label": "a"}, fence=1)
    with ledger.write() as connection:
        row = {"item_id": item_id, "fence": 1, "tier": "gpu", "deployment": "house"}
        row |= {"worker": "w", "metered": False, "balances": [], "held": 0, "started_at": 1}
        row |= {"ended_at": 2, "outcome": "accepted", "cost": 0, "confidence": confidence}
        connection.execute(insert(attempts), row)
        item = labels.judgeable(connection, item_id)
        assert item is not None
        labels.put(connection, item, Label(correct=correct, by="ada"))


def test_a_confidence_is_certified_from_what_people_said(
    tierqueue: Command, ledger: Ledger
) -> None:
    for number in range(60):
        _judged(ledger, 0.9 + number / 1_000, correct=True)
    for number in range(20):
        _judged(ledger, 0.1 + number / 1_000, correct=False)
    _judged(ledger, None, correct=False)
    words = ("router", "calibrate", TASK, "--alpha", "0.1")
    (found,) = tierqueue.json(*words)
    assert (found["deployment"], found["judged"], found["certified"]) == ("house", 80, True)
    assert 0.1 < found["min_confidence"] <= 0.9
    assert found["wrong"] / found["kept"] <= 0.1
    assert found["bound"] <= 0.1
    assert "house\t80" in tierqueue(*words)


def test_what_cannot_be_certified_says_what_it_would_take(
    tierqueue: Command, ledger: Ledger
) -> None:
    words = ("router", "calibrate", TASK)
    assert "no answer with a confidence was judged" in tierqueue(*words, status=1)
    for _ in range(10):
        _judged(ledger, 0.5, correct=True)
    (found,) = tierqueue.json(*words, status=1)
    assert found["certified"] is False
    assert "keeps 10 rows" in found["why"]
    assert "house cannot be certified" in tierqueue(*words, status=1)
    assert "did you mean" in tierqueue.complaint("router", "calibrate", "tierqueue.clasify")


@pytest.fixture
def version(tierqueue: Command, tmp_path: Path) -> str:
    """A surrogate that the policy names."""
    found = policy(tmp_path)
    usual = found.tasks[TASK].surrogate
    assert usual is not None
    (tmp_path / "tierqueue.toml").write_text(
        f'[tasks."{TASK}".surrogate]\nfile = {json.dumps(usual.file)}\nsha256 = "{usual.sha256}"\n',
        encoding="utf-8",
    )
    return usual.version


def _off(ledger: Ledger, version: str) -> list[SwitchOff]:
    with ledger.read() as connection:
        return surrogates.switched_off(connection, [version])


def test_a_surrogate_is_retired_and_put_back(
    tierqueue: Command, ledger: Ledger, version: str
) -> None:
    assert tierqueue.json("router", "retire", version)["now"] == "retired"
    assert "already" in tierqueue("router", "retire", version)
    (off,) = _off(ledger, version)
    assert (off.task, off.record) == (TASK, Record(0, 0))
    assert "in service" in tierqueue("router", "promote", version)
    assert _off(ledger, version) == []
    assert "already" in tierqueue("router", "promote", version)
    told = tierqueue("actions")
    assert "retire surrogate" in told
    assert "promote surrogate" in told


def test_one_that_its_audits_switched_off_stays_off(
    tierqueue: Command, ledger: Ledger, version: str
) -> None:
    with ledger.write() as connection:
        surrogates.switch_off(connection, SwitchOff(version, TASK, 1, Record(100, 20)))
    assert "its audits switched it off" in tierqueue.complaint("router", "promote", version)
    assert len(_off(ledger, version)) == 1
    assert "there is no surrogate or rules in the policy" in tierqueue.complaint(
        "router", "retire", "surrogate-none"
    )
