"""What replies have been like: a change of the model is told once, and a week forgets it."""

from tests.ledger.moves import Moves
from tierqueue.ledger.in_force import observations
from tierqueue.ledger.in_force.observations import MODEL, WEEK_US, WITHOUT, ModelChange, Observation
from tierqueue.router.policy.policy import parse_policy

DAY = 86_400_000_000
NOW = 1_700_000_000_000_000


def model(served: str, asked: str = "gpt", deployment: str = "best") -> Observation:
    return Observation(deployment, asked, MODEL, served)


def see(moves: Moves, *seen: Observation, at: int = NOW) -> list[ModelChange]:
    with moves.ledger.write() as connection:
        return observations.see(connection, seen, at)


def changes(moves: Moves, at: int = NOW) -> list[ModelChange]:
    with moves.ledger.read() as connection:
        return observations.changes(connection, at)


def test_another_model_than_last_weeks_is_told_once(moves: Moves) -> None:
    assert see(moves, model("gpt-1")) == []
    assert see(moves, model("gpt-1"), at=NOW + DAY) == []
    changed = ModelChange("best", "gpt", "gpt-1", "gpt-2", NOW + 2 * DAY)
    assert see(moves, model("gpt-2"), at=NOW + 2 * DAY) == [changed]
    # A second process sees it too, and a gateway may go back and forth.
    assert see(moves, model("gpt-2"), at=NOW + 2 * DAY) == []
    assert see(moves, model("gpt-1"), at=NOW + 3 * DAY) == []
    assert changes(moves, NOW + 3 * DAY) == [changed]
    assert changes(moves, NOW + 2 * DAY + WEEK_US) == []


def test_what_nobody_saw_for_a_week_is_news_again(moves: Moves) -> None:
    see(moves, model("gpt-1"))
    see(moves, model("gpt-2"), at=NOW + DAY)
    see(moves, model("gpt-2"), at=NOW + WEEK_US)
    back = ModelChange("best", "gpt", "gpt-2", "gpt-1", NOW + WEEK_US + DAY)
    assert see(moves, model("gpt-1"), at=NOW + WEEK_US + DAY) == [back]
    assert changes(moves, NOW + WEEK_US + DAY) == [back]


def test_another_model_after_a_long_silence_is_none(moves: Moves) -> None:
    see(moves, model("gpt-1"))
    assert see(moves, model("gpt-2"), at=NOW + WEEK_US) == []
    assert changes(moves, NOW + WEEK_US) == []


def test_what_the_policy_asks_for_anew_is_no_change(moves: Moves) -> None:
    see(moves, model("gpt-1"))
    assert see(moves, model("other-1", asked="other")) == []
    assert see(moves, model("x", deployment="small")) == []
    assert changes(moves) == []


def test_a_server_that_names_each_answers_model_differently_fills_nothing(moves: Moves) -> None:
    seen = [model(f"m-{number:03}") for number in range(observations.MOST + 5)]
    assert len(see(moves, *seen)) == observations.MOST - 1
    assert see(moves, *seen, model("late"), at=NOW + DAY) == []
    assert see(moves, model("m-1", deployment="other")) == []


DEPLOYMENTS = parse_policy(
    """
[deployments.best]
tier = "frontier"
profile = "openai"
model = "gpt"
top_logprobs = 5
context_window = 1000
prices = { input = "1", output = "2" }
""",
    "test",
).deployments


def silent(moves: Moves, at: int = NOW) -> frozenset[str]:
    with moves.ledger.read() as connection:
        return observations.silent(connection, DEPLOYMENTS, at)


def test_a_server_that_refuses_log_probabilities_is_known_for_a_week(moves: Moves) -> None:
    see(moves, Observation("best", "gpt", WITHOUT, "prompt_cache_key"))
    see(moves, Observation("best", "another", WITHOUT, "logprobs"))
    assert silent(moves) == frozenset()
    see(moves, Observation("best", "gpt", WITHOUT, "logprobs"))
    assert silent(moves) == {"best"}
    assert silent(moves, NOW + WEEK_US) == frozenset()
