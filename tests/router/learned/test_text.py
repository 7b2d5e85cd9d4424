"""Texts become the same numbers everywhere, whatever they hold."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.router.learned import text


def near(one: str, other: str) -> float:
    """The cosine of two texts, over both blocks."""
    rows = [text.counts(one), text.counts(other)]
    ones = np.ones(text.WIDTH, np.float32)
    first, second = (text.weighted(row, ones) for row in rows)
    return float(first @ second) / 2


def test_the_buckets_of_a_text_are_those_that_artefacts_were_trained_with() -> None:
    found = text.counts("My card was declined")
    assert np.flatnonzero(found)[:4].tolist() == [87, 219, 2469, 2482]
    assert int(np.abs(found).sum()) == 67


def test_case_and_blanks_change_nothing_and_words_do() -> None:
    assert near("My  card\nwas DECLINED", "my card was declined") == pytest.approx(1.0)
    assert near("my card was declined", "my card was declinde") > 0.5
    assert near("my card was declined", "when does the museum open") < 0.2


def test_no_word_is_cut_across_its_neighbours() -> None:
    whole, parts = text.counts("ab cd")[text.BUCKETS :], text.counts("cd ab")[text.BUCKETS :]
    assert (whole == parts).all()


@given(st.text(st.characters(codec="ascii"), max_size=80))
def test_plain_text_is_taken_apart_as_any_other(content: str) -> None:
    words_and_marks = re.findall(r"\w+|[^\w\s]", content.lower())
    assert text.spaced(content) == " ".join(words_and_marks)


def test_a_text_in_which_every_sign_cancels_out_comes_to_nothing() -> None:
    nothing = np.zeros(text.WIDTH, np.float32)
    ones = np.ones((text.WIDTH, 1), np.float32)
    assert text.scores(["", "a card", ""], nothing, ones).tolist() == [[0.0]] * 3


@given(st.text(max_size=300))
def test_any_text_gives_finite_numbers_of_length_one_or_nothing(content: str) -> None:
    found = text.weighted(text.counts(content), np.ones(text.WIDTH, np.float32))
    assert np.isfinite(found).all()
    for block in (found[: text.BUCKETS], found[text.BUCKETS :]):
        assert float(block @ block) == pytest.approx(1.0, abs=1e-4) or not block.any()


def test_what_stands_behind_the_longest_part_changes_nothing() -> None:
    long = "x. " * text.LONGEST
    assert (text.counts(long) == text.counts(long + "something else")).all()


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_several_texts_at_once_are_counted_as_each_alone(contents: list[str]) -> None:
    [part] = text.together(contents)
    alone = np.stack([text.counts(content) for content in contents])
    assert (text.counts_of(part) == alone).all()
    rarity = np.linspace(0.5, 2, text.WIDTH, dtype=np.float32)
    columns = np.stack([rarity, np.ones(text.WIDTH, np.float32)], axis=1)
    wanted = np.stack([text.weighted(row, rarity) @ columns for row in alone])
    assert text.scores(part, rarity, columns) == pytest.approx(wanted, abs=1e-3)


def test_long_texts_are_looked_at_part_by_part() -> None:
    contents = ["a " * text.LONGEST, "b", "c" * 5_000, "d " * 3_000]
    parts = list(text.together(contents))
    assert [content for part in parts for content in part] == contents
    assert [len(part) for part in parts] == [1, 2, 1]
