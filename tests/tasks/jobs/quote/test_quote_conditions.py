"""A quote goes by what routing is told: refused probabilities, limits that are set, lanes."""

from pathlib import Path

import pytest

from tests.ledger.moves import Moves
from tests.operations.cli.command import Command
from tests.tasks.jobs.quote.test_quote import POLICY, done, part, written
from tierqueue.ledger.in_force import observations
from tierqueue.ledger.in_force.observations import WITHOUT, Observation
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now

PLAIN = """[deployments.{name}]
tier = "frontier"
engine = "openai"
model = "plain"
boundary = "vendor:acme"
key_env = "ACME_KEY"
context_window = 4000
top_logprobs = 5
prices = {{ input = "{price}", output = "5" }}

"""


def beside(*names: str) -> str:
    """The policy with deployments of these names beside the best, each at a higher price."""
    more = (PLAIN.format(name=name, price=price) for price, name in enumerate(names, 1))
    return POLICY.replace("[[floors]]", "".join(more) + "[[floors]]")


def test_a_quote_knows_whose_servers_refuse_log_probabilities(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "tierqueue.toml").write_text(beside("plain", "telling"))
    (tmp_path / "work.csv").write_text("text\n" + "".join(f"hello {n}\n" for n in range(10)))
    asked = ["quote", "work.csv", "--task", "tierqueue.classify", "--risk", "auto_applied"]
    asked += ["--set", "labels=card,login", "--set", "min_confidence=0.9"]
    assert part(tierqueue.json(*asked), "plain")["rows"] == 10
    with ledger.write() as connection:
        seen = Observation("plain", "plain", WITHOUT, "logprobs")
        observations.see(connection, [seen], database_now(connection))
    assert part(tierqueue.json(*asked), "telling")["rows"] == 10


def test_a_quote_knows_which_limits_are_set(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "tierqueue.toml").write_text(beside("plain"))
    assert part(tierqueue.json(*written(tmp_path, 10)), "plain")["rows"] == 10
    tierqueue("limits", "set", "plain", "tokens_per_minute", "10")
    assert part(tierqueue.json(*written(tmp_path, 10)), "best")["rows"] == 10
    done(Moves(ledger), 1_000)
    tierqueue("limits", "set", "best", "requests_per_minute", "30")
    assert tierqueue.json(*written(tmp_path, 10))["seconds"] == pytest.approx(20.0)
    tierqueue("limits", "set", "budget:acme", "requests_per_minute", "15")
    assert tierqueue.json(*written(tmp_path, 10))["seconds"] == pytest.approx(20.0)
    paid = [*written(tmp_path, 10), "--budget", "acme"]
    assert tierqueue.json(*paid)["seconds"] == pytest.approx(40.0)


def test_what_goes_in_batches_is_expected_at_the_price_of_batches(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    priced = "\n[deployments.best.batch]\nprices = { input = '2.5', output = '12.5' }\n"
    (tmp_path / "tierqueue.toml").write_text(
        POLICY.replace("\n[[floors]]", f"{priced}\n[[floors]]")
    )
    moves = Moves(ledger)
    done(moves, 1_000)
    told = tierqueue.json(*written(tmp_path, 10))
    assert (part(told, "best")["lane"], told["expected_nanousd"]) == ("batch", 10 * 500)
    assert ", in batches" in tierqueue(*written(tmp_path, 10))
