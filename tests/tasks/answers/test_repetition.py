"""What is endless repetition, and what only looks alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.tasks.answers.repetition import repeats_itself


@pytest.mark.parametrize(
    "text",
    [
        "The answer is no. " + "no " * 50,
        '{"label": "' + "card_arrival, " * 12,
        '{"label": ' + " \n" * 60,
        "a" * 100,
        "start "
        + "A whole sentence that comes again and again, word by word. " * 7
        + "A whole sen",
    ],
)
def test_one_thing_over_and_over_is_a_repetition(text: str) -> None:
    assert repeats_itself(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no no no no no no no",
        "A whole sentence that comes twice. A whole sentence that comes twice. ",
        " ".join(str(n) for n in range(500)),
        "no " * 50 + "and that is why the answer is yes after all, as anybody can see from it.",
    ],
)
def test_what_only_looks_alike_is_none(text: str) -> None:
    assert not repeats_itself(text)


@given(piece=st.text(min_size=1, max_size=300), before=st.text(max_size=200))
def test_any_piece_that_is_said_often_enough_is_found(piece: str, before: str) -> None:
    assert repeats_itself(before + piece * max(6, -(-100 // len(piece))))
