"""``tierqueue audit-spend``."""

import pytest

from tests.ledger.moves import Moves, settlement
from tests.operations.cli.command import Command
from tierqueue.ledger.in_force import evidence
from tierqueue.ledger.in_force.evidence import JudgedAnswer
from tierqueue.ledger.lifecycle.claims import Claimant
from tierqueue.ledger.session import Ledger

POLICY = """
[deployments.small]
tier = "open_weight"
engine = "openai"
model = "m"
boundary = "house"
key_env = "KEY"
context_window = 1000
prices = { input = "1", output = "2" }
[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "m"
boundary = "house"
key_env = "KEY"
context_window = 1000
prices = { input = "5", output = "25" }
"""


def _answers(ledger: Ledger, tier: str, deployment: str, cost: int) -> None:
    moves = Moves(ledger)
    at = Claimant(
        worker="w", tier=tier, deployment=deployment, provider="p", metered=True, lease_us=10**7
    )
    moves.submit()
    moves.route(tier=tier, deployment=deployment, floor="frontier", bound=cost)
    for claim in moves.claim(moves.queue(tier), by=at).claimed:
        moves.settle(settlement(claim, cost=cost))


@pytest.mark.parametrize("known", [40, 10])
def test_what_could_be_saved_is_told_or_what_it_takes_to_know(
    tierqueue: Command, ledger: Ledger, known: int
) -> None:
    _answers(ledger, "frontier", "best", 50_000_000)
    _answers(ledger, "open_weight", "small", 1_000_000)
    with ledger.write() as connection:
        judged = JudgedAnswer("tierqueue.classify", "small", True, 10, 2, 0.5)
        evidence.add(connection, [judged] * known)
    out = tierqueue("audit-spend")
    (first, *_) = tierqueue.json("audit-spend", "--since", "1h")
    assert (first["deployment"], first["items"], first["cost_nanousd"]) == ("best", 1, 50_000_000)
    cheaper = first["cheaper"]
    if known == 40:
        assert cheaper["saves_nanousd"] == 49_000_000
        assert cheaper["low_nanousd"] < cheaper["saves_nanousd"]
        assert "tierqueue.classify\tbest" in out
        assert "its floor frontier keeps it from small" in out
    else:
        assert cheaper["saves_nanousd"] is None
        assert "too little is known of small, 10 answers of 30" in out


def test_without_answers_nothing_is_known(tierqueue: Command) -> None:
    assert tierqueue.json("audit-spend") == []
