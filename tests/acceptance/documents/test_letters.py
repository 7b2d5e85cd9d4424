"""The example of work in several steps, through a running system."""

from typing import Any

import pytest

from examples.pipeline import answered
from tests.acceptance.acceptance_system import Build, RunningSystem
from tierqueue.ledger.tables import items
from tierqueue.router.errors import CostCeilingExceeded

LETTER = (
    "The lift in house 4 is stuck between two floors again.\n"
    "I live in flat 12 and cannot take the stairs. Please have it mended today.\n"
    "Erika Muster"
)


@pytest.fixture(scope="module")
def running(build_system: Build) -> RunningSystem:
    """A system whose processes know the example's task types."""
    return build_system(environ={"TIERQUEUE_IMPORTS": "examples.triage,examples.pipeline"})


def steps(running: RunningSystem, name: str) -> dict[str, Any]:
    with running.ledger.read() as connection:
        found = connection.execute(items.select().where(items.c.budget == name))
        return {row.task: row for row in found}


def test_a_letter_goes_through_all_steps_once_under_one_ceiling_and_one_deadline(
    running: RunningSystem,
) -> None:
    assert answered(LETTER, "letter-17").get(timeout=240).output.reply
    found = steps(running, "letter-17")
    assert set(found) == {"office.triage", "tierqueue.extract", "office.check", "office.draft"}
    assert {row.sensitivity for row in found.values()} == {"internal"}
    assert len({row.deadline for row in found.values()}) == 1
    assert found["tierqueue.extract"].tier == "open_weight"
    assert found["office.check"].tier == "gpu"
    fields = found["tierqueue.extract"].output
    assert found["office.check"].arguments == {"letter": LETTER, "fields": fields}
    assert found["office.draft"].arguments["checked"] == found["office.check"].output
    served = len(running.served())
    assert answered(LETTER, "letter-17").get(timeout=240).output.reply
    assert len(running.served()) == served
    assert len(steps(running, "letter-17")) == len(found)


def test_the_ceiling_is_that_of_all_steps_together(running: RunningSystem) -> None:
    asked = answered(LETTER, "letter-18", max_cost="0.000001usd")
    with pytest.raises(CostCeilingExceeded, match="letter-18"):
        asked.get(timeout=240)
    found = steps(running, "letter-18")
    assert found["office.triage"].state == "succeeded"
    assert found["tierqueue.extract"].reason == "cost_ceiling"
    assert set(found) == {"office.triage", "tierqueue.extract"}
