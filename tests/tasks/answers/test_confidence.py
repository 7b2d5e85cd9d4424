"""How sure a model was of its answer, by its tokens."""

import json
import math
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, create_model

from tierqueue.router.outcome import Token
from tierqueue.tasks.answers.confidence import ALTERNATIVES, asked_for, choice_of, confidence

ONE = 1.0


def labels(*names: str) -> type[BaseModel]:
    return a_model("label", Literal[names])


def a_model(field: str, kind: Any) -> type[BaseModel]:
    fields: dict[str, Any] = {field: (kind, ...)}
    return create_model("Answer", **fields)


def token(text: str, probability: float = ONE, hidden: float = 0.0, **others: float) -> Token:
    shown = tuple((name.encode(), share) for name, share in others.items())
    return Token(text.encode(), probability, shown, hidden)


def said(*tokens: Token) -> str:
    return b"".join(part.text for part in tokens).decode()


def of(model: type[BaseModel] | None, *tokens: Token) -> float | None:
    return confidence(model, said(*tokens), tokens)


OPENED = token('{"label":"')
CLOSED = token('"}')


def test_the_margin_is_the_chosen_label_less_the_next_best() -> None:
    model = labels("bug", "card", "other")
    sure = of(model, OPENED, token("bug", 0.9, card=0.08, other=0.02), CLOSED)
    assert sure == pytest.approx(0.82)


def test_what_is_no_label_does_not_count() -> None:
    # Before a grammar's mask most of the probability may be elsewhere.
    model = labels("bug", "card")
    sure = of(model, OPENED, token("bug", 0.06, Sorry=0.7, hmm=0.2, card=0.04), CLOSED)
    assert sure == pytest.approx(0.2)


def test_labels_that_share_a_beginning_part_where_they_part() -> None:
    model = labels("card arrival", "card linking", "refund")
    sure = of(
        model,
        OPENED,
        token("card", 0.8, refund=0.2),
        Token(b" arrival", 0.7, ((b" linking", 0.3),)),
        CLOSED,
    )
    assert sure == pytest.approx(0.8 * 0.7 - 0.8 * 0.3)


def test_a_label_that_another_begins_with_is_told_apart_by_its_end() -> None:
    model = labels("card", "card arrival")
    sure = of(model, OPENED, token("card"), Token(b'"}', 0.9, ((b" arrival", 0.1),)))
    assert sure == pytest.approx(0.8)


def test_a_token_may_begin_before_the_label_and_end_behind_it() -> None:
    model = labels("bug", "card")
    wide = Token(b'":"bug"}', 0.75, ((b'":"card"}', 0.25), (b'" :', 0.0)))
    assert of(model, token('{"label'), wide) == pytest.approx(0.5)


def test_two_spellings_of_a_label_are_one_label() -> None:
    model = labels("bug", "card", "refund")
    sure = of(model, OPENED, token("bug", 0.4, bu=0.2, card=0.1, ca=0.1, refund=0.2), CLOSED)
    assert sure == pytest.approx(0.6 - 0.2)


def test_what_may_still_become_either_label_tells_nothing() -> None:
    model = labels("bug", "billing")
    sure = of(model, OPENED, token("bug", 0.6, b=0.3, billing=0.2), CLOSED)
    assert sure == pytest.approx(0.75 - 0.25)


def test_an_unseen_label_may_have_all_that_is_hidden() -> None:
    model = labels("bug", "card")
    # The label was forced by a grammar: twenty others were more probable, and none is a label.
    sure = of(model, OPENED, token("bug", 1e-5, hidden=1e-4, Hello=0.9), CLOSED)
    assert sure == 0.0
    assert of(model, OPENED, token("bug", 0.7, hidden=0.3), CLOSED) == pytest.approx(0.4)


def test_thoughts_before_an_answer_and_what_ends_it_are_no_part_of_it() -> None:
    model = labels("bug", "card")
    tokens = (
        token('<think>{"label":"card"}', 0.1),
        token("</think>\n", 0.1),
        OPENED,
        token("bug", 0.9, card=0.1),
        CLOSED,
        token("<end>", 0.2),
    )
    assert confidence(model, '{"label":"bug"}', tokens) == pytest.approx(0.8)
    assert confidence(None, '{"label":"bug"}', tokens) == pytest.approx(0.9)


def test_any_other_answer_is_as_sure_as_its_least_probable_token() -> None:
    model = create_model("Bill", sum=(int, ...), paid=(bool, ...))
    parts = (token('{"sum":', 0.99), token("12", 0.4), token(',"paid":true}', 0.9))
    assert of(model, *parts) == pytest.approx(0.4)
    assert of(None, *parts) == pytest.approx(0.4)


def test_tokens_that_are_not_the_answers_tell_nothing() -> None:
    model = labels("bug", "card")
    assert confidence(model, '{"label":"bug"}', ()) is None
    assert confidence(model, '{"label":"bug"}', (token("bug"),)) is None
    assert confidence(model, '{"label":"b\\u0075g"}', (token('{"label":"b\\u0075g"}'),)) is None


class Team(Enum):
    MONEY = "money"
    HOUSE = "house"


def test_a_choice_is_a_model_whose_one_field_is_one_of_several_texts() -> None:
    chosen = choice_of(create_model("Sent", team=(Team, ...)))
    assert chosen is not None
    assert chosen.closed == (b'house"', b'money"')
    for model in (
        create_model("Two", team=(Team, ...), note=(str, ...)),
        create_model("Text", team=(str, ...)),
        a_model("team", Literal["a"]),
        a_model("team", Literal[1, 2]),
    ):
        assert choice_of(model) is None
        assert asked_for(model) == 0
    assert asked_for(labels("a", "b")) == ALTERNATIVES
    assert asked_for(None) == 0


NAMES = st.lists(st.text(min_size=1, max_size=6), min_size=2, max_size=8, unique=True)


@given(NAMES, st.data())
def test_a_margin_is_a_share_whatever_the_labels_and_the_tokens(
    names: list[str], data: st.DataObject
) -> None:
    names = [name.encode("utf-8", "ignore").decode() or "x" for name in names]
    model = labels(*names)
    if choice_of(model) is None:
        return
    whole = json.dumps({"label": data.draw(st.sampled_from(names))}, ensure_ascii=False).encode()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=5)))
    shares = st.floats(0, 1)
    tokens = [
        Token(
            whole[begin:end],
            data.draw(shares),
            tuple((name.encode(), data.draw(shares)) for name in names[:3]),
            data.draw(shares),
        )
        for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)
    ]
    found = confidence(model, whole.decode(), tokens)
    assert found is not None
    assert 0.0 <= found <= 1.0
    assert math.isfinite(found)


@given(NAMES, st.data())
def test_labels_of_one_token_each_have_the_margin_of_their_probabilities(
    names: list[str], data: st.DataObject
) -> None:
    names = [f"{at}-{name}" for at, name in enumerate(names)]
    encoded = [json.dumps(name, ensure_ascii=False)[1:-1].encode("utf-8") for name in names]
    weights = data.draw(st.lists(st.integers(1, 1000), min_size=len(names), max_size=len(names)))
    order = sorted(range(len(names)), key=lambda at: -weights[at])
    shares = [weight / sum(weights) for weight in weights]
    others = tuple((encoded[at], shares[at]) for at in order[1:])
    tokens = [OPENED, Token(encoded[order[0]], shares[order[0]], others), CLOSED]
    answer = b"".join(part.text for part in tokens).decode()
    found = confidence(labels(*names), answer, tokens)
    assert found == pytest.approx(shares[order[0]] - shares[order[1]])
