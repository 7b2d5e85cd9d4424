"""Log-probabilities as chat completions carry them: all of an answer's tokens, or none."""

import math
from typing import Any

import pytest

from tierqueue.workers.engines.http.logprobs import MOST_OTHERS, MOST_TOKENS, read


def a_token(text: str, probability: float, **more: Any) -> dict[str, Any]:
    return {"token": text, "logprob": math.log(probability), **more}


def of(*content: object) -> dict[str, Any]:
    return {"logprobs": {"content": list(content)}}


def test_a_token_has_its_probability_and_that_of_the_others_shown_beside_it() -> None:
    shown = [a_token("yes", 0.7), a_token("no", 0.2)]
    [token] = read(of(a_token("yes", 0.7, top_logprobs=shown)))
    assert token.text == b"yes"
    assert token.probability == pytest.approx(0.7)
    assert [text for text, _ in token.others] == [b"no"]
    # What is not shown has at most the probability of the least that is.
    assert token.hidden == pytest.approx(0.2)


def test_half_a_character_is_known_by_its_bytes() -> None:
    [token] = read(of(a_token("\\ufffd", 1.0, bytes=[0xE2, 0x82])))
    assert token.text == b"\xe2\x82"


def test_what_is_impossible_has_no_probability_and_none_is_above_one() -> None:
    low, high = read(of({"token": "a", "logprob": -9999.0}, {"token": "b", "logprob": 0.5}))
    assert (low.probability, high.probability) == (0.0, 1.0)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "text",
        {"token": "a"},
        {"token": "a", "logprob": "-1"},
        {"token": "a", "logprob": True},
        {"token": "a", "logprob": math.nan},
        {"token": None, "logprob": -1.0},
        {"token": "a", "logprob": -1.0, "bytes": [256]},
        {"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "b"}]},
    ],
)
def test_one_token_that_is_none_leaves_none(broken: object) -> None:
    assert read(of(a_token("a", 0.5), broken)) == ()


@pytest.mark.parametrize(
    "choice", [{}, {"logprobs": None}, {"logprobs": []}, {"logprobs": {"content": {}}}]
)
def test_where_none_are_given_there_are_none(choice: dict[str, Any]) -> None:
    assert read(choice) == ()


def test_no_more_is_read_than_a_model_writes() -> None:
    assert read(of(*[a_token("a", 0.5)] * (MOST_TOKENS + 1))) == ()
    shown = [a_token(str(n), 0.01) for n in range(MOST_OTHERS * 2)]
    [token] = read(of(a_token("a", 0.5, top_logprobs=shown)))
    assert len(token.others) == MOST_OTHERS
