"""A quote says what a file would come to, and leaves nothing behind."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.moves import Moves, settlement
from tests.operations.cli.command import Command
from tests.tasks.routing.tokenizer import write_tokenizer
from tierqueue.ledger.in_force import tier_concurrency
from tierqueue.ledger.lifecycle.claims import Claimant
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import Usage

POLICY = """
default_sensitivity = "internal"

[tiers.frontier]
concurrency = 4

[deployments.small]
tier = "gpu"
engine = "vllm"
model = "tiny"
boundary = "house"
context_window = 700
gpu_hour = "3.60"
timeout = 9

[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "best"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 4000
prices = { input = "5", output = "25" }

[[floors]]
risk = "auto_applied"
floor = "frontier"
"""

BEST = Claimant(
    worker="w", tier="frontier", deployment="best", provider="acme", metered=True, lease_us=10**7
)
FILE = ["quote", "work.csv", "--task", "tierqueue.complete"]


ROWS = ["hi,internal", "hello,auto_applied", f"{'x' * 9000},internal", "hi,reckless"]


@pytest.fixture(autouse=True)
def work(tmp_path: Path) -> None:
    """The file that is quoted."""
    (tmp_path / "work.csv").write_text("\n".join(["prompt,risk", *ROWS]) + "\n")


def done(moves: Moves, cost: int, **changed: Any) -> None:
    """An accepted item of this task type on the best deployment."""
    moves.submit(task="tierqueue.complete")
    moves.route(tier="frontier", deployment="best", bound=10**9)
    [claim] = moves.claim(moves.queue("frontier"), by=BEST).claimed
    usage = asdict(Usage(input_tokens=90, output_tokens=10))
    ended = {"cost": cost, "usage": usage, "seconds": 6.0, "simulated": False}
    moves.settle(settlement(claim, **{**ended, **changed}))


def part(told: dict[str, Any], deployment: str) -> dict[str, Any]:
    (found,) = [part for part in told["parts"] if part["deployment"] == deployment]
    return dict(found)


def test_a_quote_says_where_rows_go_for_how_much_and_which_are_refused(
    tierqueue: Command, ledger: Ledger
) -> None:
    told = tierqueue.json(*FILE, "--set", "max_output_tokens=100", status=1)
    assert told["rows"] == 4
    assert {part["deployment"]: part["rows"] for part in told["parts"]} == {"small": 1, "best": 1}
    assert {reason: refusal["rows"] for reason, refusal in told["refused"].items()} == {
        "no_route": 1,
        "invalid": 1,
    }
    assert told["refused"]["invalid"]["first"] == 3
    # The engine's hour is paid anyway; of the other, what the router holds.
    small = part(told, "small")
    assert (small["bound_nanousd"], small["counted"]) == (0, False)
    routed = tierqueue.json(
        *("route", "--task", "tierqueue.complete", "--arg", "prompt=hello"),
        *("--arg", "max_output_tokens=100", "--risk", "auto_applied"),
    )
    assert part(told, "best")["bound_nanousd"] == routed["route"]["bound_nanousd"]
    assert told["bound_nanousd"] == sum(part["bound_nanousd"] for part in told["parts"])


def test_a_quote_leaves_nothing_behind(tierqueue: Command, ledger: Ledger) -> None:
    tierqueue.json(*FILE, "--set", "max_output_tokens=100", status=1)
    assert tierqueue.json("spend")["states"] == {}


def test_without_history_nothing_is_expected_and_that_is_said(tierqueue: Command) -> None:
    told = tierqueue.json(*FILE, "--set", "max_output_tokens=100", status=1)
    assert (told["expected_nanousd"], told["seconds"]) == (None, None)
    assert told["learned_from_items"] == 0
    assert part(told, "best")["expected_nanousd"] is part(told, "best")["past"] is None
    shown = tierqueue(*FILE, "--set", "max_output_tokens=100", status=1)
    assert "expected: unknown, no item of this task type has ended on small, best" in shown
    assert "time: unknown, no item of this task type has ended on small, best" in shown
    assert "refused: 1 row invalid, the first has index 3:" in shown


def unlike(folder: Path, rows: int) -> None:
    """So many rows, each another: those that are the same are one call."""
    (folder / "work.csv").write_text("prompt\n" + "".join(f"h{n:04}\n" for n in range(rows)))


def written(tmp_path: Path, rows: int) -> list[str]:
    unlike(tmp_path, rows)
    return [*FILE, "--risk", "auto_applied"]


def test_with_history_the_cost_is_what_an_item_has_cost_so_far(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    moves = Moves(ledger)
    done(moves, 1_000)
    done(moves, 2_001)
    told = tierqueue.json(*written(tmp_path, 10))
    assert (told["expected_nanousd"], told["learned_from_items"]) == (15_005, 2)
    assert told["low_nanousd"] < 15_005 < told["high_nanousd"]
    assert part(told, "best")["past"]["cost_nanousd"] == 3_001
    # Ten rows of six seconds, four at a time.
    assert told["seconds"] == pytest.approx(15.0)
    said = tierqueue(*written(tmp_path, 10))
    assert "time: about 15 s once it begins" in said
    assert "expected: $0.000015 with retries and escalations, between $0.00 and " in said
    assert "(95%), from 2 items" in said


def test_an_operators_concurrency_and_the_providers_limits_are_in_the_time(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    done(Moves(ledger), 1_000)
    with ledger.write() as connection:
        tier_concurrency.set_concurrency(connection, Tier.FRONTIER, 60, "ana")
    assert tierqueue.json(*written(tmp_path, 10))["seconds"] == pytest.approx(1.0)
    limited = POLICY.replace("\n[[floors]]", "limits = { requests_per_minute = 30 }\n[[floors]]")
    (tmp_path / "tierqueue.toml").write_text(limited)
    assert tierqueue.json(*written(tmp_path, 10))["seconds"] == pytest.approx(20.0)


def test_history_of_simulated_answers_says_nothing_of_real_ones(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    done(Moves(ledger), 1_000, simulated=True)
    assert tierqueue.json(*written(tmp_path, 10))["expected_nanousd"] is None


def below(moves: Moves, cost: int, *, refused: bool) -> None:
    """An item that the small deployment was asked for; refused, the best one answers it."""
    moves.submit(task="tierqueue.complete")
    moves.route(bound=10**7)
    [claim] = moves.claim(moves.queue("gpu")).claimed
    ended = {"cost": cost, "seconds": 1.0, "simulated": False, "usage": asdict(Usage())}
    if not refused:
        moves.settle(settlement(claim, **ended))
        return
    on = {"outcome": "rejected", "next_state": State.SUBMITTED, "output": None, "receipt": None}
    moves.settle(settlement(claim, **ended, **on))
    moves.route(tier="frontier", deployment="best", bound=10**9)
    [claim] = moves.claim(moves.queue("frontier"), by=BEST).claimed
    moves.settle(settlement(claim, **{**ended, "cost": 1_000_000, "seconds": 6.0}))


def short(tmp_path: Path, rows: int) -> list[str]:
    unlike(tmp_path, rows)
    return [*FILE, "--set", "max_output_tokens=100", "--risk", "internal"]


def test_what_is_expected_includes_the_escalations_of_the_past(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    moves = Moves(ledger)
    for number in range(20):
        below(moves, 1_000, refused=number < 5)
    told = tierqueue.json(*short(tmp_path, 200))
    assert [part["deployment"] for part in told["parts"]] == ["small"]
    real = 200 * (1_000 + 1_000_000 * 5 // 20)
    assert told["expected_nanousd"] == pytest.approx(real, rel=0.2)
    assert told["low_nanousd"] < real < told["high_nanousd"]
    assert (part(told, "small")["past"]["rejected"], told["learned_from_items"]) == (5, 20)
    # 55 of 200 rows are expected above, for six seconds each, four at a time.
    assert told["seconds"] == pytest.approx(200 * 6 / 22 * 6 / 4, rel=0.01)


def test_one_accepted_item_does_not_say_that_nothing_escalates(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    below(Moves(ledger), 1_000, refused=False)
    told = tierqueue.json(*short(tmp_path, 100))
    above = tierqueue.json(
        *("route", "--task", "tierqueue.complete", "--arg", "prompt=hello", "--floor", "frontier"),
        *("--arg", "max_output_tokens=100"),
    )["route"]["bound_nanousd"]
    assert told["low_nanousd"] == 0
    assert told["expected_nanousd"] == pytest.approx(100 * (1_000 + above / 3), rel=0.01)
    assert told["high_nanousd"] > 100 * above * 0.7
    assert "from 1 item\n" in tierqueue(*short(tmp_path, 100))


def test_retries_and_lost_replies_are_in_what_is_expected(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    moves = Moves(ledger)
    moves.submit(task="tierqueue.complete")
    moves.route(tier="frontier", deployment="best", bound=10**9)
    [claim] = moves.claim(moves.queue("frontier"), by=BEST).claimed
    again = {"outcome": "unknown", "next_state": State.ROUTED, "output": None, "receipt": None}
    moves.settle(settlement(claim, cost=9_000, **again))
    [claim] = moves.claim(moves.queue("frontier"), by=BEST).claimed
    moves.settle(settlement(claim, cost=1_000, simulated=False))
    assert tierqueue.json(*written(tmp_path, 10))["expected_nanousd"] == 10 * 10_000


def test_a_file_that_cannot_be_a_job_has_no_quote(tierqueue: Command, tmp_path: Path) -> None:
    (tmp_path / "work.csv").write_text("words\nhello\n")
    assert "knows no 'words'" in tierqueue.complaint(*FILE)


def test_a_quote_and_a_route_count_with_the_tokenizer_that_the_policy_states(
    tierqueue: Command, tmp_path: Path
) -> None:
    long = "where is my card? " * 60
    (tmp_path / "work.csv").write_text(f"prompt,risk\n{long},internal\n")
    asked = ["route", "--explain", "--task", "tierqueue.complete", "--risk", "internal"]
    asked += ["--arg", f"prompt={long}", "--arg", "max_output_tokens=16"]
    limited = [*FILE, "--set", "max_output_tokens=16"]
    assert [part["deployment"] for part in tierqueue.json(*limited)["parts"]] == ["best"]
    path = write_tokenizer(tmp_path / "tokenizer.json", long)
    stated = POLICY.replace('model = "tiny"', f'model = "tiny"\ntokenizer = "{path}"')
    (tmp_path / "tierqueue.toml").write_text(stated)
    assert [part["deployment"] for part in tierqueue.json(*limited)["parts"]] == ["small"]
    said = tierqueue(*asked)
    assert said.startswith("small (gpu)")
    assert "by its own tokenizer" in said
    path.unlink()
    assert "deployment small states a tokenizer" in tierqueue.complaint(*limited)


def test_headroom_for_reasoning_is_in_the_quote(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    file = written(tmp_path, 10)
    before = part(tierqueue.json(*file), "best")
    policy = tmp_path / "tierqueue.toml"
    thinking = 'model = "best"\nreasoning_tokens = 1000'
    policy.write_text(policy.read_text().replace('model = "best"', thinking))
    after = part(tierqueue.json(*file), "best")
    assert after["bound_nanousd"] == before["bound_nanousd"] + 10 * 1000 * 25_000


@pytest.mark.parametrize(
    ("limit", "enough", "status", "said"),
    [
        ("9usd", True, 0, "is above all of that range"),
        ("0.0101usd", True, 0, "covers what is expected, and not all of its range"),
        ("0.0001usd", False, 1, "is less than what is expected"),
    ],
)
def test_a_quote_says_whether_a_ceiling_would_be_enough(
    tierqueue: Command,
    ledger: Ledger,
    tmp_path: Path,
    limit: str,
    enough: bool,
    status: int,
    said: str,
) -> None:
    (tmp_path / "work.csv").write_text("prompt,risk\nhi,auto_applied\n")
    for cost in (4_000_000, 10_000_000, 16_000_000):
        done(Moves(ledger), cost)
    words = [*FILE, "--set", "max_output_tokens=100", "--max-cost", limit]
    told = tierqueue.json(*words, status=status)
    assert told["enough"] is enough
    assert said in " ".join(tierqueue(*words, status=status).split())


def test_without_history_a_ceiling_is_enough_for_one_call_a_row_or_unknown(
    tierqueue: Command, tmp_path: Path
) -> None:
    (tmp_path / "work.csv").write_text("prompt,risk\nhi,auto_applied\n")
    words = [*FILE, "--set", "max_output_tokens=100", "--max-cost"]
    assert tierqueue.json(*words, "9usd")["enough"] is True
    assert tierqueue.json(*words, "0.0001usd")["enough"] is None
    assert "less than one call for each row can cost" in tierqueue(*words, "0.0001usd")
    assert tierqueue.json(*words[:-1])["max_cost_nanousd"] is None
