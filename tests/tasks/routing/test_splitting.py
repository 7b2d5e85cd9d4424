"""A document goes up a tier for its length only where that costs no more than its pieces."""

from tierqueue.ledger.lifecycle.items import NewItem
from tierqueue.router.choose import Conditions
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.selection.evidence import ENOUGH, Evidence
from tierqueue.tasks.kinds import ask
from tierqueue.tasks.routing.splitting import DocumentPlans, compare
from tierqueue.tasks.routing.token_counter import TokenCounter

POLICY = """
default_sensitivity = "internal"

[deployments.window]
tier = "open_weight"
engine = "openai"
model = "small"
boundary = "vendor:opens"
key_env = "OPENS_KEY"
base_url = "https://opens.example/v1"
context_window = 12000
prices = {{ input = "{small}", output = "{small}" }}

[deployments.long]
tier = "frontier"
engine = "anthropic"
model = "large"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 200000
prices = {{ input = "{large}", output = "{large}" }}
"""
TEXT = "The rent is due on the first day of each month. " * 1_000
FAR = 1_000_000_000_000


def item(text: str) -> NewItem:
    return ask.new_item((text,), {"question": "When?"}, item_id="item")


def compared(
    small: str, large: str, *, text: str = TEXT, evidence: dict[str, Evidence] | None = None
) -> DocumentPlans:
    policy = parse_policy(POLICY.format(small=small, large=large), "test")
    pieces = [item(text[at : at + 8_000]) for at in range(0, len(text), 8_000)]
    known = {} if evidence is None else {ask.name: evidence}
    conditions = Conditions(now=FAR, evidence=known)
    return compare(item(text), pieces, policy, conditions, TokenCounter(policy))


def test_a_longer_window_that_costs_more_is_no_reason_to_go_there() -> None:
    found = compared("0.50", "5")
    assert found.split
    assert found.pieces.deployments == ("window",)
    assert found.why.startswith("in pieces, with what joins them 6 calls, at window, at most $")
    assert "; whole, in one call, at long, at most $" in found.why


def test_the_whole_goes_there_where_that_costs_no_more() -> None:
    found = compared("0.50", "0.50")
    assert not found.split
    assert found.why.startswith("whole, in one call, at long, at most $")
    assert found.whole.cost is not None
    assert found.pieces.cost is not None
    assert found.whole.cost <= found.pieces.cost


def test_what_nothing_holds_is_done_in_pieces() -> None:
    found = compared("0.50", "0.50", text=TEXT * 5)
    assert found.split
    assert found.whole.cost is None
    assert "whole, in one call, no deployment may or can do it" in found.why


def test_answers_that_are_refused_are_paid_for_too() -> None:
    poor = Evidence(ENOUGH * 4, ENOUGH, 1_000, 100, 1.0)
    good = Evidence(ENOUGH, ENOUGH, 1_000, 100, 1.0)
    without, with_evidence = (
        compared("0.50", "1", evidence=evidence)
        for evidence in (None, {"window": poor, "long": good})
    )
    assert without.pieces.cost is not None
    assert with_evidence.pieces.cost is not None
    assert with_evidence.pieces.cost > without.pieces.cost
    assert without.split
    assert not with_evidence.split
