"""mypy guards what a record holds: its state, its fence and its money."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
BEGIN = """
from tierqueue.ledger.ceilings.ceiling import Ceiling
from tierqueue.ledger.ceilings.status import CeilingStatus
from tierqueue.ledger.job_records import JobRecord, RowAnswer
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.lifecycle.leases import LapsedLease
from tierqueue.ledger.lifecycle.settlements import Settlement, SettlementResult
from tierqueue.ledger.operations.dead_letters import DeadLetter
from tierqueue.ledger.records import DocumentPart, Fence, Item
from tierqueue.ledger.results.promises import Ending
from tierqueue.ledger.whole_item import WholeItem
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD
from tierqueue.tasks.broker.slices import SliceItem
from tierqueue.tasks.results.delivery import Delivery


"""
GOOD = """
def spent(parts: list[DocumentPart]) -> int:
    return sum(part.spent for part in parts if part.state is State.DEAD)


def settle(
    claim: Claim, lapsed: LapsedLease, settled: SettlementResult, delivery: Delivery
) -> Settlement:
    SliceItem(claim.item.id, claim.fence, 100)
    Ending(item_id=lapsed.item.id, state=State.DEAD, answer=None, error=None)
    delivery.ended(settled.ends)
    return Settlement(
        item_id=claim.item.id,
        fence=claim.fence,
        held=claim.held,
        balances=claim.balances,
        outcome="accepted",
        cost=claim.held,
        next_state=State.SUCCEEDED,
    )
"""
BAD = """
def read(part: DocumentPart) -> None:
    part.spend  # has no attribute "spend"
    part.spent = NanoUSD(0)  # read-only
    part.bound + part.spent  # Unsupported operand types


def look(item: WholeItem, letter: DeadLetter, job: JobRecord, answer: RowAnswer) -> None:
    item["state"]  # No overload variant
    item.lease  # has no attribute "lease"
    item.ended_at - item.submitted_at  # Unsupported operand types
    answer.state = State.DEAD  # read-only
    job.max_cost + letter.spent  # Unsupported operand types
    letter.eror  # has no attribute "eror"


def bound(ceiling: Ceiling, status: CeilingStatus) -> None:
    ceiling.limt  # has no attribute "limt"
    ceiling.limit = NanoUSD(0)  # read-only
    ceiling.start("2026-11-20")  # expected "int"
    status.balance  # has no attribute "balance"
    status.spent = NanoUSD(0)  # read-only


def settle(
    claim: Claim, lapsed: LapsedLease, settled: SettlementResult, delivery: Delivery
) -> None:
    claim.item.fense  # has no attribute "fense"
    claim.item.arguments  # has no attribute "arguments"
    lapsed.attempt.helt  # has no attribute "helt"
    claim.item.spent = NanoUSD(0)  # read-only
    claim.fence = Fence(1)  # read-only
    SliceItem(claim.item.id, 100, claim.fence)  # expected "Fence"
    Ending(item_id="i", state="daed", answer=None, error=None)  # expected "State"
    delivery.ended(settled.ends.ended)  # expected "Ends"
    claim.item.bound + 1  # Unsupported operand types
    Settlement(
        item_id=claim.item.id,
        fence=claim.held,  # expected "Fence"
        held=claim.started_at,  # expected "NanoUSD"
        balances=claim.balances,
        outcome="accepted",
        cost=claim.fence,  # expected "NanoUSD"
        next_state="succeeded",  # expected "State"
    )
"""


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, str]]:
    """What mypy says of the good and of the wrong uses, by line, in one run."""
    folder = tmp_path_factory.mktemp("typed")
    files = {"good": folder / "good_records.py", "bad": folder / "bad_records.py"}
    files["good"].write_text(BEGIN + GOOD, encoding="utf-8")
    files["bad"].write_text(BEGIN + BAD, encoding="utf-8")
    subprocess.run(["make", "-s", "-o", "setup", "types"], cwd=ROOT, check=True, timeout=60)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--no-error-summary",
        "--config-file",
        "pyproject.toml",
    ]
    said = subprocess.run(
        [*command, *files.values()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert said.stderr == ""
    found: dict[str, dict[int, str]] = {"good": {}, "bad": {}}
    for name, number, message in re.findall(r"(\w+)_records\.py:(\d+): error: (.*)", said.stdout):
        found[name][int(number)] = found[name].get(int(number), "") + message
    return found


def test_records_are_used_as_they_are_meant(errors: dict[str, dict[int, str]]) -> None:
    assert errors["good"] == {}


def test_a_wrong_state_fence_or_amount_is_an_error_on_its_line(
    errors: dict[str, dict[int, str]],
) -> None:
    expected = {
        number: line.rsplit("  # ", 1)[1]
        for number, line in enumerate((BEGIN + BAD).splitlines(), start=1)
        if "  # " in line
    }
    assert errors["bad"].keys() == expected.keys()
    for number, message in expected.items():
        assert message in errors["bad"][number]
