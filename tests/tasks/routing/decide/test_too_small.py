"""An item that does not fit a deployment, on its whole way: routed, claimed, refused, routed again.

Too large for it, or its answer of a form that the grammar there cannot hold.
"""

from typing import Any

import pytest

from tests.tasks.routing.decide.test_fallbacks import answered
from tests.tasks.routing.decide.way import Way
from tierqueue.ledger.operations import dead_letters
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import Tier
from tierqueue.router.outcome import Failed, Outcome, Rejected, Usage
from tierqueue.router.policy.policy import parse_policy

DEPLOYMENT = """
[deployments.{name}]
tier = "{tier}"
engine = "openai"
model = "{name}"
boundary = "{boundary}"
base_url = "https://host.example/v1"
key_env = "KEY"
context_window = {window}
prices = {{ input = "{price}", output = "{price}" }}
"""


def deployment(
    name: str,
    window: int,
    price: int,
    *,
    tier: str = "open_weight",
    boundary: str = "vendor:host",
) -> str:
    return DEPLOYMENT.format(name=name, tier=tier, boundary=boundary, window=window, price=price)


SMALL = deployment("small", 8_000, 1)
TWIN = deployment("twin", 8_000, 2)
LARGE = deployment("large", 32_000, 3)
HOUSE = deployment("house", 64_000, 2, boundary="house")
BEST = deployment("best", 64_000, 9, tier="frontier")

OUTCOMES: dict[str, Outcome] = {
    "context_window": Rejected(
        reasons=("the context window of the model does not hold the item",),
        usage=Usage(),
        model_served="m",
        reason="context_window",
    ),
    "too_large": Failed(
        kind="http_429",
        message="one request asks for 9000 tokens, more than the account's limit of 8000 tokens",
        transient=False,
        reason="too_large",
    ),
    "grammar": Failed(
        kind="grammar",
        message="its grammar cannot hold the form of the answer",
        transient=False,
        reason="grammar",
    ),
}
either = pytest.mark.parametrize("reason", list(OUTCOMES))


def way(ledger: Ledger, *deployments: str, calls: int = 5, **stated: Any) -> Way:
    text = "".join(deployments)
    retry = f"[retry]\ncalls = {calls}\n"
    case = Way(ledger, parse_policy(f'default_sensitivity = "internal"\n{text}{retry}', "test"))
    case.submit(**stated)
    return case


def refused_all_the_way(case: Way, reason: str, *, until: int = 9) -> list[str]:
    """The deployments that were asked, each of which says that the item is too large for it."""
    asked: list[str] = []
    while len(asked) < until and (claim := case.claim()) is not None:
        asked.append(str(claim.item.deployment))
        case.settle(claim, OUTCOMES[reason])
    return asked


def ended(case: Way) -> tuple[Any, ...]:
    return case.column("state"), case.column("reason"), case.column("spent"), case.column("held")


@either
def test_a_larger_one_of_the_tier_is_asked_before_the_tier_above(
    ledger: Ledger, reason: str
) -> None:
    case = way(ledger, SMALL, LARGE, BEST)
    assert refused_all_the_way(case, reason, until=1) == ["small"]
    assert case.column("refused_by") is None
    second = case.claim()
    assert second is not None
    assert second.item.deployment == "large"
    refusals = (second.item.route or {})["refusals"]
    assert [refusal["rule"] for refusal in refusals if refusal["deployment"] == "small"] == [
        "too_small"
    ]
    case.settle(second, answered())
    assert case.column("state") == "succeeded"
    assert case.column("receipt")["attempts"] == 2
    assert (case.column("tier"), case.column("degraded")) == (Tier.OPEN_WEIGHT.value, None)


@either
def test_when_the_tier_has_no_larger_one_left_the_tier_above_is_asked_and_then_it_ends(
    ledger: Ledger, reason: str
) -> None:
    case = way(ledger, SMALL, LARGE, BEST)
    assert refused_all_the_way(case, reason) == ["small", "large", "best"]
    assert ended(case) == ("dead", reason, 0, 0)
    error = case.column("error")
    assert "no other deployment may try" in error["message"]
    if reason == "too_large":
        assert "9000 tokens, more than the account's limit of 8000" in error["message"]
        assert "output_limit" in error["message"]
    with ledger.write() as connection:
        assert dead_letters.replay(connection, [case.item_id], "ops") == [case.item_id]
    assert case.column("too_small") is None
    assert refused_all_the_way(case, reason, until=1) == ["small"]


def test_a_window_that_is_no_larger_is_not_asked_and_another_accounts_limit_is(
    ledger: Ledger,
) -> None:
    for reason, expected in (
        ("context_window", ["small", "best"]),
        ("too_large", ["small", "twin", "best"]),
        ("grammar", ["small", "twin", "best"]),
    ):
        assert refused_all_the_way(way(ledger, SMALL, TWIN, BEST), reason) == expected


@either
def test_nobody_across_the_boundary_of_the_house_stands_beside(ledger: Ledger, reason: str) -> None:
    assert refused_all_the_way(way(ledger, SMALL, HOUSE, BEST), reason) == ["small", "best"]


@either
def test_an_item_that_stays_in_the_house_stays_there(ledger: Ledger, reason: str) -> None:
    tiny = deployment("tiny", 8_000, 1, boundary="house")
    case = way(ledger, tiny, HOUSE, LARGE, BEST, sensitivity="confidential")
    assert refused_all_the_way(case, reason, until=2) == ["tiny", "house"]
    case.stage.round()
    assert case.column("state") == "dead"
    assert case.column("reason") in ("no_route", reason)


@either
def test_each_is_a_call_of_the_retry_budget(ledger: Ledger, reason: str) -> None:
    case = way(ledger, SMALL, LARGE, BEST, calls=2)
    assert refused_all_the_way(case, reason) == ["small", "large"]
    assert ended(case) == ("dead", reason, 0, 0)
    assert "all 2 calls" in case.column("error")["message"]
