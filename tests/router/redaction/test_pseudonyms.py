"""Pseudonyms: nothing of the rules' kinds leaves, and what comes back is what was there."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tierqueue.router.redaction.pseudonyms import Leaking, Pseudonyms, put_back
from tierqueue.router.redaction.rules import Redaction, matches

RULES = Redaction(patterns={"customer": r"C-\d{8}"})

DATA = st.sampled_from(
    [
        *("jane@example.com", "a.b+c@x.co.uk", "+49 30 1234567", "030/1234567", "192.168.2.1"),
        *("DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111", "2001:db8::1", "C-12345678"),
        *("[EMAIL_1]", "EMAIL_7", "[EMAIL_", "[CARD_12", "TEXT_1", "[TEXT_1]", '"', "\\"),
    ]
)
TEXTS = st.lists(st.one_of(DATA, st.text(max_size=8), st.sampled_from([" ", ", ", ".", "["]))).map(
    "".join
)


def back(text: str, pseudonyms: Pseudonyms, *, as_json: bool = False) -> tuple[str, str | None]:
    return put_back(text, pseudonyms.originals, RULES.names, as_json=as_json)


@example("[EMAIL_C-12345678")
@example("[CARD_12TEXT_1")
@given(TEXTS)
def test_nothing_that_is_found_leaves_and_all_of_it_comes_back(text: str) -> None:
    pseudonyms = Pseudonyms(RULES)
    try:
        hidden = pseudonyms.hide(text)
    except Leaking:
        return  # nothing is sent
    for original in pseudonyms.originals.values():
        if matches(RULES, original):
            assert original not in hidden
    assert back(hidden, pseudonyms) == (text, None)


@given(TEXTS)
def test_it_comes_back_inside_the_strings_of_json(text: str) -> None:
    pseudonyms = Pseudonyms(RULES)
    try:
        hidden = pseudonyms.hide(text)
    except Leaking:
        return
    answer = json.dumps({"said": hidden}, ensure_ascii=False)
    restored, wrong = back(answer, pseudonyms, as_json=True)
    assert (json.loads(restored), wrong) == ({"said": text}, None)


def test_the_same_thing_has_the_same_pseudonym_and_a_shared_prefix_stays_the_same() -> None:
    prefix = "Ask jane@example.com or C-12345678."
    for question in ("Who is joe@example.com?", "And jane@example.com?"):
        pseudonyms = Pseudonyms(RULES)
        assert pseudonyms.hide(prefix) == "Ask [EMAIL_1] or [CUSTOMER_1]."
        hidden = pseudonyms.hide(question)
        assert ("[EMAIL_1]" in hidden) is ("jane" in question)


def test_names_and_values_of_a_schema_are_hidden_too() -> None:
    schema: Any = {"properties": {"a@b.de": {"enum": ["c@d.de", 4111111111111111]}}, "x": [True]}
    pseudonyms = Pseudonyms(RULES)
    assert pseudonyms.hide_all(schema) == {
        "properties": {"[EMAIL_1]": {"enum": ["[EMAIL_2]", 4111111111111111]}},
        "x": [True],
    }


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("[EMAIL_1]", None),
        ("EMAIL_1 wrote", None),
        ("[EMAIL_2] wrote", "stands for nothing"),
        ("[EMAIL_1] and [EMAIL_", "cut in half"),
        ("[EMAIL_1", "cut in half"),
        ("Nobody wrote", None),
    ],
)
def test_a_pseudonym_that_is_invented_or_cut_is_said(answer: str, wrong: str | None) -> None:
    pseudonyms = Pseudonyms(RULES)
    pseudonyms.hide("jane@example.com")
    restored, said = back(answer, pseudonyms)
    assert (said is None) is (wrong is None)
    assert wrong is None or wrong in str(said)
    assert "jane" not in str(said)
    if wrong is None:
        assert restored == answer.replace("[EMAIL_1]", "EMAIL_1").replace(
            "EMAIL_1", "jane@example.com"
        )
