"""The tokens of an answer as vLLM gives them, spelled out."""

import math
from typing import Any

import pytest

from tierqueue.workers.engines.vllm import tokens as vllm_tokens

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch warns of its own future
    pytest.mark.engine,
]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


def steps(rows: list[dict[int, float]]) -> list[Any]:
    """What vLLM's core sends of a row a token, its own first."""
    import numpy as np
    from vllm.v1.outputs import LogprobsLists

    return [
        LogprobsLists(
            np.array([list(row)]),
            np.array(
                [[math.log(share) if share else -math.inf for share in row.values()]],
                dtype=np.float32,
            ),
            np.array([1]),
        )
        for row in rows
    ]


def test_the_bytes_of_a_character_belong_to_the_tokens_that_wrote_them(tokenizer: Any) -> None:
    ids = tokenizer.encode("größe €")
    text, tokens = vllm_tokens.read(tokenizer, ids, steps([{token_id: 0.5} for token_id in ids]), 0)
    assert text == "größe €"
    assert b"".join(token.text for token in tokens) == text.encode()
    assert len(tokens) == len("größe €".encode())


def test_alternatives_are_read_down_to_a_bound_and_the_rest_is_hidden(tokenizer: Any) -> None:
    b, o, x, z = (tokenizer.encode(letter)[0] for letter in "boxz")
    row = {b: 0.7, o: 0.29, x: 5e-5, z: 0.0}
    _, (token,) = vllm_tokens.read(tokenizer, [b], steps([row]), 20)
    assert token.text == b"b"
    assert token.probability == pytest.approx(0.7)
    ((other, share),) = token.others
    assert other == b"o"
    assert share == pytest.approx(0.29)
    assert token.hidden == pytest.approx(5e-5)


def test_alternatives_that_another_call_asked_for_are_not_read(tokenizer: Any) -> None:
    b, o, x = (tokenizer.encode(letter)[0] for letter in "box")
    _, (token,) = vllm_tokens.read(tokenizer, [b], steps([{b: 0.7, o: 0.2, x: 0.1}]), 1)
    assert [other for other, _ in token.others] == [b"o"]
    _, (alone,) = vllm_tokens.read(tokenizer, [b], steps([{b: 0.7, o: 0.2, x: 0.1}]), 0)
    assert alone.others == ()
    assert alone.hidden == pytest.approx(0.3)


def test_several_tokens_of_one_step_are_a_row_each(tokenizer: Any) -> None:
    import numpy as np
    from vllm.v1.outputs import LogprobsLists

    ids = tokenizer.encode("box")
    logprobs = np.log(np.array([[0.5], [0.25]], dtype=np.float32))
    made = LogprobsLists(np.array([[ids[0]], [ids[1]]]), logprobs, np.array([1, 1]))
    last = steps([{ids[2]: 0.125}])
    _, tokens = vllm_tokens.read(tokenizer, ids, [made, *last], 0)
    assert [token.text for token in tokens] == [b"b", b"o", b"x"]
    assert [token.probability for token in tokens] == pytest.approx([0.5, 0.25, 0.125])


def test_what_ends_an_answer_has_no_text(tokenizer: Any) -> None:
    ids = [*tokenizer.encode("no"), tokenizer.eos_token_id]
    text, tokens = vllm_tokens.read(tokenizer, ids, steps([{token_id: 0.5} for token_id in ids]), 0)
    assert text == "no"
    assert [token.text for token in tokens] == [b"n", b"o", b""]


@pytest.mark.parametrize("text", ["plain", "größe €", "an emoji 🙂, a tab\t and\nlines", " lead"])
def test_the_table_says_what_decoding_says(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text)
    bytes_of = vllm_tokens.byte_table(tokenizer)
    assert bytes_of is not None
    assert b"".join(map(bytes_of, ids)) == text.encode()


def test_where_the_table_and_the_text_differ_the_text_is_right(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_tokens, "byte_table", lambda _: lambda _: b"?")
    ids = tokenizer.encode("größe")
    _, tokens = vllm_tokens.read(tokenizer, ids, steps([{token_id: 0.5} for token_id in ids]), 0)
    assert b"".join(token.text for token in tokens) == "größe".encode()


def test_probabilities_that_are_no_numbers_tell_nothing(tokenizer: Any) -> None:
    b, o = (tokenizer.encode(letter)[0] for letter in "bo")
    sure, none = {b: 0.9, o: 0.1}, {b: math.nan, o: math.nan}
    assert vllm_tokens.read(tokenizer, [b, b], steps([sure, none]), 20) == ("bb", ())
