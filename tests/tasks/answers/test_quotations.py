"""What is quoted stands in its source word for word, or it is no quotation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.tasks.answers.quotations import place

SOURCE = "The fee is\n  12.50 euros. It is due on 3 May, (see §4.1)."


@pytest.mark.parametrize(
    "quotation", ["The fee is 12.50 euros.", "due on 3 May, (see §4.1)", "fee\tis\n12.50"]
)
def test_only_how_words_are_set_apart_may_differ(quotation: str) -> None:
    found = place(SOURCE, quotation)
    assert found is not None
    assert SOURCE[slice(*found)].split() == quotation.split()


@pytest.mark.parametrize("quotation", ["The fee is 1250 euros.", "the fee", "is due on 4", "", " "])
def test_anything_else_stands_nowhere(quotation: str) -> None:
    assert place(SOURCE, quotation) is None


@given(st.text(max_size=200), st.data())
def test_every_part_of_a_text_is_found_where_it_or_its_like_first_stands(
    text: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text)))
    part = text[start : data.draw(st.integers(start, len(text)))]
    found = place(text, part)
    if not part.split():
        assert found is None
    else:
        assert found is not None
        assert found[0] <= text.index(part.split()[0], start)
        assert text[slice(*found)].split() == part.split()
