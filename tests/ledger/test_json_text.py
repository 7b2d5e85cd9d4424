"""JSON as the ledger keeps it: what is JSON comes back as it was, and what is none is refused."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.ledger.json_text import decoded, encoded

# Half of a surrogate pair too: models write it, and Python's own JSON keeps it.
texts = st.text(st.characters(codec=None))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)


@given(plain)
def test_what_is_written_is_read_back_by_either_and_is_ascii_alone(value: Any) -> None:
    text = encoded(value)
    assert text.isascii()
    assert decoded(text) == json.loads(text) == value
    assert decoded(json.dumps(value)) == value


def test_it_is_compact_and_a_number_that_is_none_stays_one() -> None:
    assert encoded({"a": [1, 2], "b": None}) == '{"a":[1,2],"b":null}'
    assert math.isnan(decoded(encoded(math.nan)))
    assert decoded(encoded(-math.inf)) == -math.inf


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        encoded({"a": object()})
    for text in ("", "{", '{"a":}', "nul"):
        with pytest.raises(json.JSONDecodeError):
            decoded(text)
