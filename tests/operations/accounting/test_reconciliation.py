"""A provider's export beside the books: drift by day, and unknown charges brought to their cost."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.log import Entry, Log
from tests.ledger.moves import Moves, ceiling, settlement
from tests.operations.cli.command import Command
from tierqueue.ledger.lifecycle.claims import Claim, Claimant
from tierqueue.ledger.session import Ledger
from tierqueue.operations.accounting.reconciliation import of_model
from tierqueue.operations.accounting.usage_export import UsageRow, read
from tierqueue.router.errors import InvalidItem
from tierqueue.router.lifecycle import State

POLICY = """
[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "best"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 4000
prices = { input = "5", output = "25" }
"""

BEST = Claimant(
    worker="w", tier="frontier", deployment="best", provider="acme", metered=True, lease_us=10**7
)
TODAY = datetime.now(UTC).date().isoformat()
ACME = "budget:acme:total:all"


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    made = Moves(ledger)
    made.ceilings(ceiling("budget", 10**12))
    return made


def called(moves: Moves, cost: int) -> Claim:
    moves.submit()
    moves.route(tier="frontier", deployment="best", bound=1_000)
    [claim] = moves.claim(moves.queue("frontier"), by=BEST).claimed
    moves.settle(settlement(claim, cost=cost))
    return claim


def lost(moves: Moves, claim: Claim | None = None) -> Claim:
    """A call whose reply did not come: its hold of 1,000 nano-dollars is booked."""
    if claim is None:
        moves.submit()
        moves.route(tier="frontier", deployment="best", bound=1_000)
        [claim] = moves.claim(moves.queue("frontier"), by=BEST).claimed
    detail = {"kind": "timeout"}
    moves.settle(
        settlement(
            claim,
            cost=1_000,
            outcome="unknown",
            detail=detail,
            output=None,
            receipt=None,
            next_state=State.DEAD,
            reason="unknown",
        )
    )
    return claim


def export(tmp_path: Path, *rows: tuple[Claim | None, int], fence: bool = True) -> str:
    lines = ["date,item,fence,input_tokens,output_tokens,cost_nanousd,region"]
    for claim, cost in rows:
        item = "" if claim is None else claim.item.id
        number = "" if claim is None or not fence else claim.fence
        lines.append(f"{TODAY},{item},{number},9,4,{cost},eu")
    (tmp_path / "usage.csv").write_text("\n".join(lines) + "\n")
    return "usage.csv"


def test_books_that_agree_with_the_export_have_no_drift(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    file = export(tmp_path, (called(moves, 70), 70), (called(moves, 30), 30))
    (day,) = tierqueue.json("reconcile", file, "--deployment", "best")["days"]
    assert (day["day"], day["booked_nanousd"], day["billed_nanousd"], day["drift_nanousd"]) == (
        TODAY,
        100,
        100,
        0,
    )


def test_drift_is_shown_by_day_and_is_a_no(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    file = export(tmp_path, (called(moves, 70), 71))
    told = tierqueue.json("reconcile", file, "--deployment", "best", status=1)
    assert [day["drift_nanousd"] for day in told["days"]] == [-1]
    assert "-$0.000000001" in tierqueue("reconcile", file, "--deployment", "best", status=1)


def test_a_dry_run_says_what_an_unknown_charge_was_and_changes_nothing(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    claim = lost(moves)
    file = export(tmp_path, (claim, 260))
    told = tierqueue.json("reconcile", file, "--deployment", "best")
    assert told["resolved"] == [
        {
            "item": claim.item.id,
            "fence": claim.fence,
            "booked_nanousd": 1_000,
            "billed_nanousd": 260,
        }
    ]
    assert (told["dry_run"], told["moved_nanousd"], told["days"][0]["drift_nanousd"]) == (
        True,
        0,
        0,
    )
    assert moves.books()[ACME][:2] == (0, 1_000)
    assert "say --apply" in tierqueue("reconcile", file, "--deployment", "best")


def test_an_unknown_charge_is_corrected_to_what_was_billed_and_the_books_balance(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    claim = lost(moves)
    file = export(tmp_path, (claim, 260))
    words = ("reconcile", file, "--deployment", "best", "--apply", "--by", "ana")
    assert tierqueue.json(*words)["moved_nanousd"] == -740
    assert moves.books()[ACME][:2] == (0, 260)
    row, (attempt,) = moves.row(claim.item.id), moves.history(claim.item.id)
    assert (row.state, row.reason, row.spent) == ("dead", "unknown", 260)
    assert (attempt.outcome, attempt.cost) == ("late", 260)
    assert attempt.price_source == "export:usage.csv"
    assert attempt.detail == {"kind": "timeout", "booked": 1_000, "came_as": "reconciled"}
    assert (attempt.usage or {})["input_tokens"] == 9
    again = tierqueue.json(*words)
    assert (again["resolved"], again["moved_nanousd"], again["days"][0]["drift_nanousd"]) == (
        [],
        0,
        0,
    )


def test_a_late_reply_after_the_reconciliation_is_charged_no_second_time(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    claim = lost(moves)
    tierqueue("reconcile", export(tmp_path, (claim, 260)), "--deployment", "best", "--apply")
    moves.settle(settlement(claim, cost=255))
    assert moves.books()[ACME][:2] == (0, 260)


def test_a_bill_above_what_was_booked_is_overage(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    claim = lost(moves)
    tierqueue("reconcile", export(tmp_path, (claim, 1_300)), "--deployment", "best", "--apply")
    assert moves.books()[ACME][:2] == (0, 1_300)
    assert (moves.history(claim.item.id)[0].detail or {})["overage"] == 300


def test_two_lost_calls_of_one_item_are_told_apart_by_their_fences(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    [item_id] = moves.submit()
    claims = []
    for _ in range(2):
        moves.route(tier="frontier", deployment="best", bound=1_000)
        [claim] = moves.claim(moves.queue("frontier"), by=BEST).claimed
        moves.settle(settlement(claim, cost=1_000, outcome="unknown", next_state=State.SUBMITTED))
        claims.append(claim)
    file = export(tmp_path, (claims[0], 100), (claims[1], 200))
    tierqueue("reconcile", file, "--deployment", "best", "--apply")
    assert [attempt.cost for attempt in moves.history(item_id)] == [100, 200]
    assert moves.books()[ACME][:2] == (0, 300)


def test_without_a_fence_an_item_that_was_called_once_is_matched(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    claim = lost(moves)
    file = export(tmp_path, (claim, 260), fence=False)
    tierqueue("reconcile", file, "--deployment", "best", "--apply")
    assert moves.books()[ACME][:2] == (0, 260)


def test_an_unknown_charge_that_the_export_does_not_show_stays_and_is_listed(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    claim = lost(moves)
    file = export(tmp_path, (None, 5))
    told = tierqueue.json("reconcile", file, "--deployment", "best", "--apply", status=1)
    assert [(charge["item"], charge["why"]) for charge in told["unresolved"]] == [
        (claim.item.id, "the export has no row of its call")
    ]
    assert moves.books()[ACME][:2] == (0, 1_000)


@pytest.mark.parametrize("name", ["usage.json", "usage.jsonl"])
def test_a_log_of_calls_in_json_is_an_export_too(tmp_path: Path, name: str) -> None:
    row = {
        "started": 1_763_600_000.25,
        "model": "best",
        "item": "i",
        "fence": "2",
        "input_tokens": 3,
        "cost": 0.000000026,
        "anything": {"else": 1},
    }
    text = json.dumps([row]) if name.endswith("json") else json.dumps(row) + "\n"
    (tmp_path / name).write_text(text)
    assert read(tmp_path / name) == [
        UsageRow(day=date(2025, 11, 20), cost=26, input_tokens=3, model="best", item="i", fence=2)
    ]


def test_the_sandboxs_own_log_is_an_export(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    claim, began = lost(moves), datetime.now(UTC).timestamp()
    with Log(tmp_path / "calls.jsonl") as log:
        call: dict[str, Any] = {"api": "messages", "started": began, "model": "best", "status": 200}
        headers: dict[str, Any] = {"item": claim.item.id, "fence": str(claim.fence)}
        log.write(Entry(**call, **headers, cost_nanousd=260), began + 1)
        log.write(Entry(**{**call, "model": "another"}, cost_nanousd=99), began + 1)
    tierqueue("reconcile", "calls.jsonl", "--deployment", "best", "--apply")
    assert moves.books()[ACME][:2] == (0, 260)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("date,cost\n", "has no rows"),
        ("date,cost\nsoon,1\n", "row 1: 'soon' is not a date"),
        ("date,cost\n1e30,1\n", "row 1: .1e30. is not a time"),
        ("date,cost\n2026-11-20,much\n", "row 1: 'much' is not an amount"),
        ("date,cost\n2026-11-20,-1\n", "row 1: '-1' is not an amount"),
        ("date,cost\n2026-11-20,1e300\n", "row 1: '1e300' is not an amount"),
        ("date,cost_nanousd\n2026-11-20,1e999999999\n", "row 1: '1e999999999' is not a whole"),
        ("date,cost,input_tokens\n2026-11-20,1,1e19\n", "row 1: '1e19' is not a whole"),
        ("date,tokens\n2026-11-20,5\n", "row 1: it has no cost"),
        ("cost\n5\n", "row 1: it has no date"),
    ],
)
def test_an_export_that_cannot_be_read_names_the_row(
    tmp_path: Path, content: str, complaint: str
) -> None:
    (tmp_path / "usage.csv").write_text(content)
    with pytest.raises(InvalidItem, match=complaint):
        read(tmp_path / "usage.csv")


def test_rows_of_another_model_are_left_out_and_those_of_a_dated_one_are_not() -> None:
    named = ["best", "best-20261120", "best-2026-11-20", "best-mini", "best-mini-20261120", None]
    rows = [UsageRow(day=date(2026, 11, 20), cost=1, model=model) for model in named]
    kept: list[Any] = [row.model for row in of_model(rows, "best")]
    assert kept == ["best", "best-20261120", "best-2026-11-20", None]


def test_a_deployment_that_is_not_there_is_refused(tierqueue: Command, tmp_path: Path) -> None:
    (tmp_path / "usage.csv").write_text("date,cost\n2026-11-20,1\n")
    complaint = tierqueue.complaint("reconcile", "usage.csv", "--deployment", "bets")
    assert "there is no deployment 'bets'" in complaint
