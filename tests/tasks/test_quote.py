"""A quote says what a file would come to, and leaves nothing behind."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.road import Road, settlement
from tests.tasks.command import Command
from tests.tasks.tokenizer import write_tokenizer
from tierqueue.ledger import tiers
from tierqueue.ledger.claims import Claimant
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import Tier
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
    worker="w", tier="frontier", deployment="best", provider="acme", metered=True, lease=10**7
)
FILE = ["quote", "work.csv", "--task", "tierqueue.complete"]


ROWS = ["hi,internal", "hello,auto_applied", f"{'x' * 9000},internal", "hi,reckless"]


@pytest.fixture(autouse=True)
def work(tmp_path: Path) -> None:
    """The file that is quoted."""
    (tmp_path / "work.csv").write_text("\n".join(["prompt,risk", *ROWS]) + "\n")


def done(road: Road, cost: int, **changed: Any) -> None:
    """An accepted item of this task type on the best deployment."""
    road.submit(task="tierqueue.complete")
    road.route(tier="frontier", deployment="best", bound=10**9)
    [claim] = road.claim(road.queue("frontier"), by=BEST).claimed
    usage = asdict(Usage(input_tokens=90, output_tokens=10))
    ended = {"cost": cost, "usage": usage, "seconds": 6.0, "simulated": False}
    road.settle(settlement(claim, **{**ended, **changed}))


def part(told: dict[str, Any], deployment: str) -> dict[str, Any]:
    (found,) = [each for each in told["parts"] if each["deployment"] == deployment]
    return dict(found)


def test_a_quote_says_where_rows_go_for_how_much_and_which_are_refused(
    tierqueue: Command, ledger: Ledger
) -> None:
    told = tierqueue.json(*FILE, "--set", "max_output_tokens=100", status=1)
    assert told["rows"] == 4
    assert {each["deployment"]: each["rows"] for each in told["parts"]} == {"small": 1, "best": 1}
    assert {reason: each["rows"] for reason, each in told["refused"].items()} == {
        "no_route": 1,
        "invalid": 1,
    }
    assert told["refused"]["invalid"]["first"] == 3
    # Ten seconds of the engine at $3.60 an hour, and what the router holds for the other.
    assert part(told, "small")["bound"] == 10_000_000
    routed = tierqueue.json(
        *("route", "--task", "tierqueue.complete", "--arg", "prompt=hello"),
        *("--arg", "max_output_tokens=100", "--risk", "auto_applied"),
    )
    assert part(told, "best")["bound"] == routed["route"]["bound"]
    assert told["bound"] == sum(each["bound"] for each in told["parts"])


def test_a_quote_leaves_nothing_behind(tierqueue: Command, ledger: Ledger) -> None:
    tierqueue.json(*FILE, "--set", "max_output_tokens=100", status=1)
    assert tierqueue.json("spend")["states"] == {}


def test_without_history_the_cost_is_a_guess_that_says_so_and_the_time_unknown(
    tierqueue: Command,
) -> None:
    told = tierqueue.json(*FILE, "--set", "max_output_tokens=100", status=1)
    assert (told["guessed"], told["seconds"]) == (True, None)
    assert part(told, "best")["expected"] == round(part(told, "best")["bound"] * 0.25)
    shown = tierqueue(*FILE, "--set", "max_output_tokens=100", status=1)
    assert "a guess: 25% of the bound" in shown
    assert "time: unknown without history" in shown
    assert "refused: 1 rows invalid, the first is row 3:" in shown


def written(tmp_path: Path, rows: int) -> list[str]:
    (tmp_path / "work.csv").write_text("prompt\n" + "hello\n" * rows)
    return [*FILE, "--risk", "auto_applied"]


def test_with_history_the_cost_is_what_an_accepted_item_has_cost_so_far(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    road = Road(ledger)
    done(road, 1_000)
    done(road, 2_001)
    told = tierqueue.json(*written(tmp_path, 10))
    assert (told["guessed"], told["expected"]) == (False, 15_005)
    # Ten rows of six seconds, four at a time.
    assert told["seconds"] == pytest.approx(15.0)
    assert "about 0:00:15" in tierqueue(*written(tmp_path, 10))


def test_an_operators_concurrency_and_the_providers_limits_are_in_the_time(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    done(Road(ledger), 1_000)
    with ledger.write() as connection:
        tiers.set_concurrency(connection, Tier.FRONTIER, 60, "ana")
    assert tierqueue.json(*written(tmp_path, 10))["seconds"] == pytest.approx(1.0)
    limited = POLICY.replace("\n[[floors]]", "limits = { requests_per_minute = 30 }\n[[floors]]")
    (tmp_path / "tierqueue.toml").write_text(limited)
    assert tierqueue.json(*written(tmp_path, 10))["seconds"] == pytest.approx(20.0)


def test_history_of_simulated_answers_says_nothing_of_real_ones(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    done(Road(ledger), 1_000, simulated=True)
    assert tierqueue.json(*written(tmp_path, 10))["guessed"] is True


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
    assert [each["deployment"] for each in tierqueue.json(*limited)["parts"]] == ["best"]
    path = write_tokenizer(tmp_path / "tokenizer.json", long)
    stated = POLICY.replace('model = "tiny"', f'model = "tiny"\ntokenizer = "{path}"')
    (tmp_path / "tierqueue.toml").write_text(stated)
    assert [each["deployment"] for each in tierqueue.json(*limited)["parts"]] == ["small"]
    said = tierqueue(*asked)
    assert said.startswith("small (gpu)")
    assert "by its own tokenizer" in said
    path.unlink()
    assert "deployment small states a tokenizer" in tierqueue.complaint(*limited)
