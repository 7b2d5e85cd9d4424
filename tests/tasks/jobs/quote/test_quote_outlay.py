"""A quote says what leaves the account, and what your own engines take."""

from pathlib import Path

import pytest

from tests.ledger.moves import Moves
from tests.operations.cli.command import Command
from tests.tasks.jobs.quote.test_quote import POLICY, below, part, short
from tierqueue.ledger.session import Ledger


def test_cash_and_the_hours_of_the_house_stand_beside_each_other(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    moves = Moves(ledger)
    for number in range(20):
        # A second of the engine is a thousandth of a dollar.
        below(moves, 1_000_000, refused=number < 5)
    told = tierqueue.json(*short(tmp_path, 100))
    assert told["ceilings_count"] == "cash"
    assert told["cash"]["expected_nanousd"] == told["expected_nanousd"]
    engines = told["engines"]
    assert engines["expected_nanousd"] == 100 * 1_000_000
    assert engines["expected_hours"] == pytest.approx(100 / 3600)
    assert part(told, "small")["engines"] == engines
    said = " ".join(tierqueue(*short(tmp_path, 100)).split())
    assert "leaves the account: $" in said
    assert "your own engines: 1 min 40 s of their time" in said
    assert "ceilings count what leaves the account alone" in said
    policy = tmp_path / "tierqueue.toml"
    policy.write_text(f'ceilings_count = "everything"\n{POLICY}')
    both = tierqueue.json(*short(tmp_path, 100))
    assert (both["ceilings_count"], both["cash"]) == ("everything", told["cash"])
    assert both["expected_nanousd"] == told["expected_nanousd"] + 100 * 1_000_000
