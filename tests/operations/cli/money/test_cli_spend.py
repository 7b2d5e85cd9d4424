"""What was spent, what it would have cost elsewhere, and what an idle engine costs."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests.ledger.moves import Moves, settlement
from tests.operations.cli.command import Command
from tierqueue.ledger.lifecycle.claims import Claimant
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import attempts, items
from tierqueue.operations.cli.money.spend import bar
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import Usage

POLICY = """
allow_simulated = true

[deployments.small]
tier = "gpu"
engine = "vllm"
model = "tiny"
boundary = "house"
context_window = 4096
gpu_hour = "3.60"

[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "best"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 100000
prices = { input = "5", cache_read = "0.5", output = "25" }

[deployments.priciest]
tier = "frontier"
engine = "anthropic"
model = "priciest"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 100000
simulated = true
prices = { input = "50", output = "250" }
"""

BEST = Claimant(
    worker="w", tier="frontier", deployment="best", provider="acme", metered=True, lease_us=10**7
)
USED = Usage(input_tokens=100, cache_read_tokens=20, output_tokens=10)
AT_BEST = 100 * 5_000 + 20 * 500 + 10 * 25_000


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    return Moves(ledger)


def on_gpu(moves: Moves, cost: int, **stated: Any) -> str:
    [claim] = moves.running(**stated)
    moves.settle(settlement(claim, cost=cost, usage=asdict(USED), simulated=False))
    return str(claim.item.id)


def on_best(moves: Moves, cost: int, outcome: str = "accepted", **changed: Any) -> str:
    moves.submit()
    moves.route(tier="frontier", deployment="best", bound=10_000_000)
    [claim] = moves.claim(moves.queue("frontier"), by=BEST).claimed
    usage = None if outcome == "unknown" else asdict(USED)
    ended = {} if outcome == "accepted" else {"next_state": State.DEAD, "output": None}
    moves.settle(settlement(claim, cost=cost, outcome=outcome, usage=usage, **{**ended, **changed}))
    return str(claim.item.id)


def groups(tierqueue: Command, *words: str) -> dict[str, dict[str, Any]]:
    return {group["key"]: group for group in tierqueue.json("spend", *words)["groups"]}


def test_spending_is_grouped_by_tier_with_the_cost_of_an_accepted_item(
    tierqueue: Command, moves: Moves
) -> None:
    for cost in (10, 20, 33):
        on_gpu(moves, cost)
    on_best(moves, 1_000)
    on_best(moves, 500, "rejected")
    on_best(moves, 10_000_000, "unknown")
    found = groups(tierqueue)
    gpu, frontier = found["gpu"], found["frontier"]
    assert (gpu["items"], gpu["accepted"], gpu["cost_nanousd"], gpu["per_accepted_nanousd"]) == (
        3,
        3,
        63,
        21,
    )
    assert (gpu["input_tokens"], gpu["output_tokens"]) == (360, 30)
    assert (frontier["items"], frontier["accepted"], frontier["cost_nanousd"]) == (3, 1, 10_001_500)
    assert (frontier["unknown_nanousd"], frontier["unknown_calls"]) == (10_000_000, 1)
    assert frontier["per_accepted_nanousd"] == 10_001_500


def test_all_on_frontier_is_the_same_usage_at_the_cheapest_frontier_price(
    tierqueue: Command, moves: Moves
) -> None:
    for _ in range(3):
        on_gpu(moves, 10)
    told = tierqueue.json("spend")
    assert told["all_on_frontier"] == {
        "deployment": "best",
        "simulated": False,
        "cost_nanousd": 3 * AT_BEST,
    }
    assert told["groups"][0]["all_on_frontier_nanousd"] == 3 * AT_BEST
    assert "at today's prices of best, against $0.00000003 spent" in tierqueue("spend")


def test_what_the_prompt_caches_served_and_saved_is_told_of_every_call(
    tierqueue: Command, moves: Moves
) -> None:
    on_gpu(moves, 10)
    on_best(moves, 1_000)
    on_best(moves, 500, "rejected")
    told = {cache["deployment"]: cache for cache in tierqueue.json("spend")["caches"]}
    # 20 of 120 tokens, at 0.5 instead of 5 dollars a million, twice.
    assert told["best"] == {
        "deployment": "best",
        "simulated": False,
        "input_tokens": 240,
        "cached_tokens": 40,
        "written_tokens": 0,
        "hit_rate": 0.1667,
        "saved_nanousd": 40 * 4_500,
    }
    # Engine time is paid for, whatever a cache served of it.
    assert (told["small"]["cached_tokens"], told["small"]["saved_nanousd"]) == (20, None)
    said = " ".join(tierqueue("spend").split())
    assert "best: its prompt cache served 17% of 240 input tokens and saved $0.00018" in said


def test_without_a_priced_frontier_deployment_that_is_said(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    on_gpu(moves, 10)
    (tmp_path / "tierqueue.toml").write_text("")
    assert tierqueue.json("spend")["all_on_frontier"] is None
    assert "no frontier deployment has token prices" in tierqueue("spend")


@pytest.mark.parametrize("by", ["task", "tier", "deployment", "budget", "job", "day"])
def test_each_way_of_grouping_adds_up_to_the_same(
    tierqueue: Command, moves: Moves, by: str
) -> None:
    on_gpu(moves, 10, budget="blue")
    on_gpu(moves, 20, budget="red")
    on_best(moves, 300)
    found = groups(tierqueue, "--by", by)
    assert sum(group["cost_nanousd"] for group in found.values()) == 330
    assert sum(group["accepted"] for group in found.values()) == 3
    expected = {
        "task": {"tierqueue.classify"},
        "tier": {"gpu", "frontier"},
        "deployment": {"small", "best"},
        "budget": {"blue", "red", "acme"},
        "job": {"(none)"},
    }
    assert set(found) == expected.get(by, set(found))


def test_days_are_named_and_what_is_older_is_left_out(tierqueue: Command, moves: Moves) -> None:
    old, _ = on_gpu(moves, 10), on_gpu(moves, 20)
    with moves.ledger.write() as connection:
        connection.execute(
            update(attempts)
            .where(attempts.c.item_id == old)
            .values(started_at=20_000 * 86_400_000_000 + 5)
        )
    found = groups(tierqueue, "--by", "day")
    assert found["2024-10-04"]["cost_nanousd"] == 10
    assert len(found) == 2
    assert [group["cost_nanousd"] for group in groups(tierqueue, "--since", "1h").values()] == [20]


def test_simulated_money_stands_apart_from_real(tierqueue: Command, moves: Moves) -> None:
    on_best(moves, 5, simulated=False)
    on_best(moves, 7, simulated=True)
    found = tierqueue.json("spend")["groups"]
    assert [(group["simulated"], group["cost_nanousd"]) for group in found] == [
        (False, 5),
        (True, 7),
    ]
    assert "frontier (simulated)" in tierqueue("spend")


def test_a_lost_reply_of_a_simulated_deployment_is_simulated_money(
    tierqueue: Command, moves: Moves, tmp_path: Path
) -> None:
    (tmp_path / "tierqueue.toml").write_text(
        POLICY.replace('key_env = "ACME_KEY"', 'key_env = "ACME_KEY"\nsimulated = true', 1)
    )
    on_best(moves, 7, "unknown")
    assert [group["simulated"] for group in tierqueue.json("spend")["groups"]] == [True]


def test_overage_and_fallbacks_are_shown(tierqueue: Command, moves: Moves) -> None:
    fallen = on_gpu(moves, 10)
    on_gpu(moves, 10)
    on_best(moves, 10_000_500, detail={"overage": 500})
    with moves.ledger.write() as connection:
        told = {"to": "gpu", "from": "best", "on": "ceiling"}
        connection.execute(update(items).where(items.c.id == fallen).values(degraded=told))
    found = groups(tierqueue)
    assert (found["frontier"]["overage_nanousd"], found["gpu"]["overage_nanousd"]) == (500, 0)
    assert (found["frontier"]["degraded"], found["gpu"]["degraded"]) == (0, 1)


def test_an_idle_engine_costs_what_no_call_was_charged(tierqueue: Command, moves: Moves) -> None:
    an_hour = 3_600_000_000
    item_id = on_gpu(moves, an_hour // 4)
    with moves.ledger.write() as connection:
        at = attempts.c.started_at
        moved = update(attempts).where(attempts.c.item_id == item_id)
        connection.execute(moved.values(started_at=at - 2 * 3_600_000_000))
    (engine,) = tierqueue.json("spend")["engines"]
    assert engine["per_hour_nanousd"] == an_hour
    assert engine["seconds"] == pytest.approx(7_200, abs=60)
    assert engine["charged_nanousd"] == an_hour // 4
    assert engine["idle_cost_nanousd"] == pytest.approx(2 * an_hour - an_hour // 4, rel=0.01)
    assert engine["tokens_per_hour"] == pytest.approx(65, abs=1)
    per_token = AT_BEST / 130
    best = next(other for other in engine["break_even"] if other["against"] == "best")
    assert best["tokens_per_hour"] == pytest.approx(an_hour / per_token, abs=1)
    priciest = next(other for other in engine["break_even"] if other["against"] == "priciest")
    assert priciest["simulated"]
    assert priciest["tokens_per_hour"] < best["tokens_per_hour"]
    assert "pays off against priciest (simulated)" in tierqueue("spend")


def test_no_engine_idled_before_the_ledgers_first_item(tierqueue: Command, moves: Moves) -> None:
    on_gpu(moves, 5)
    with moves.ledger.write() as connection:
        hour = 3_600_000_000
        connection.execute(update(items).values(submitted_at=items.c.submitted_at - hour))
    for since, seconds in (("7d", 3_600), ("10m", 600)):
        (engine,) = tierqueue.json("spend", "--since", since)["engines"]
        assert engine["seconds"] == pytest.approx(seconds, abs=60)


def test_of_an_empty_ledger_no_engine_idled(tierqueue: Command) -> None:
    assert tierqueue.json("spend", "--since", "7d")["engines"] == []


def test_a_break_even_without_history_is_unknown(tierqueue: Command, moves: Moves) -> None:
    on_best(moves, 7, "unknown")
    assert "break-even unknown" in tierqueue("spend")


@pytest.mark.parametrize(("kind", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_spending_is_drawn_to_a_file(
    tierqueue: Command, moves: Moves, tmp_path: Path, kind: str, begin: bytes
) -> None:
    on_gpu(moves, 10, budget="costs $a^ and \x1b[31m")
    words = ("spend", "--by", "budget", "--plot", f"spend.{kind}")
    assert f"drawn to spend.{kind}" in tierqueue(*words)
    assert (tmp_path / f"spend.{kind}").read_bytes().startswith(begin)


def test_a_plot_that_cannot_be_is_refused(
    tierqueue: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "is a .png or a .svg file" in tierqueue.complaint("spend", "--plot", "spend.pdf")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "tierqueue[plots]" in tierqueue.complaint("spend", "--plot", "spend.png")


def test_bars_are_in_proportion_and_whatever_is_spent_is_seen() -> None:
    assert (len(bar(100, 100)), len(bar(50, 100)), bar(1, 10**9), bar(0, 5)) == (24, 12, "▏", "")
