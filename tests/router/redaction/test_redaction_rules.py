"""What the rules find, by the form that it has."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tierqueue.router.redaction.rules import Kind, Redaction, matches

EVERYTHING = Redaction(patterns={"customer": r"C-\d{8}"})


def names(text: str) -> list[tuple[str, str]]:
    return [(name, text[start:end]) for start, end, name in matches(EVERYTHING, text)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("EMAIL", "jane.o'neil+x@ex-ample.co.uk"),
        ("EMAIL", "müller@straße.de"),
        ("PHONE", "+49 (0)30 1234567"),
        ("PHONE", "0049 30 1234567"),
        ("PHONE", "030/1234567"),
        ("PHONE", "(555) 123-4567"),
        ("IBAN", "DE89 3704 0044 0532 0130 00"),
        ("IBAN", "GB82WEST12345698765432"),
        ("CARD", "4111 1111 1111 1111"),
        ("CARD", "378282246310005"),
        ("CARD", "3782-822463-10005"),
        ("IP", "192.168.2.1"),
        ("IP", "2001:db8::1"),
        ("CUSTOMER", "C-12345678"),
    ],
)
def test_each_kind_is_found_wherever_it_stands(name: str, said: str) -> None:
    for text in (said, f"It is {said}.", f"({said})", f"a\n{said}\nb", f"x: {said}, y"):
        assert names(text) == [(name, said)], text


@pytest.mark.parametrize(
    "text",
    [
        "at 12:30:45 on 2026-11-20",
        "version 1.2.3.4.5",
        "DE88370400440532013000",
        "0000000000000000 and 1234567890123456",
        "std::vector and 12.50 EUR",
        "@home",
    ],
)
def test_what_only_looks_alike_is_left(text: str) -> None:
    assert names(text) == []


def test_what_overlaps_is_hidden_as_one() -> None:
    rules = Redaction(patterns={"order": r"order \d+ of \S+"})
    text = "order 7 of a.b@c.de, please"
    assert [text[start:end] for start, end, _ in matches(rules, text)] == ["order 7 of a.b@c.de,"]


@pytest.mark.parametrize(
    ("stated", "why"),
    [
        ({"kinds": (), "patterns": {}}, "nothing would be redacted"),
        ({"patterns": {"email": "x"}}, "is none of"),
        ({"patterns": {"Name": "x"}}, "lower-case"),
        ({"patterns": {"broken": "("}}, "no regular expression"),
        ({"patterns": {"all": "x*"}}, "empty text"),
        ({"kinds": ("mail",)}, "email"),
    ],
)
def test_rules_that_cannot_run_are_refused(stated: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Redaction.model_validate(stated)


def by_remainder(joined: str) -> bool:
    """ISO 13616, as it is defined."""
    turned = (joined[4:] + joined[:4]).upper()
    return len(joined) > 14 and int("".join(str(int(one, 36)) for one in turned)) % 97 == 1


def by_luhn(joined: str) -> bool:
    """ISO 7812, as it is defined."""
    digits = [int(digit) for digit in reversed(joined)]
    doubled = [sum(divmod(digit * 2, 10)) for digit in digits[1::2]]
    return len(digits) > 12 and len(set(digits)) > 1 and sum([*digits[::2], *doubled]) % 10 == 0


DIGITS = st.text("0123456789", min_size=0, max_size=19)
BLOCKS = st.lists(st.text("0123456789ABWZ", min_size=4, max_size=4), min_size=2, max_size=7)


@given(st.from_regex(r"\A[A-Z]{2}\Z"), BLOCKS, st.sampled_from(["", " ", "-"]))
def test_of_account_numbers_those_with_the_right_check_digits_are_found(
    country: str, blocks: list[str], between: str
) -> None:
    for check in range(2, 99):
        said = between.join([f"{country}{check:02}", *blocks])
        ends = [at for at in range(5, len(said) + 1) if not re.match(r"\w", said[at : at + 1])]
        right = [at for at in ends if by_remainder(re.sub("[ -]", "", said[:at]))]
        found = [span[:2] for span in matches(Redaction(kinds=("iban",)), said)]
        assert [at for start, at in found if start == 0] == right[-1:]


@given(DIGITS)
def test_of_long_numbers_those_that_add_up_as_cards_do_are_found(said: str) -> None:
    found = matches(Redaction(kinds=("card",)), said)
    assert found == ([(0, len(said), "CARD")] if by_luhn(said) else [])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("iban", lambda: "DE12 " * 20_000),
        ("card", lambda: "1234 " * 20_000),
        ("ip", lambda: ":" * 100_000),
        ("ip", lambda: ".:" * 50_000),
    ],
    ids=["accounts", "cards", "colons", "dots"],
)
@pytest.mark.timeout(60)
def test_a_long_text_that_looks_alike_throughout_is_looked_through(
    kind: Kind, text: Callable[[], str]
) -> None:
    last = {"iban": "GB82WEST12345698765432", "card": "4111111111111111", "ip": "2001:db8::1"}[kind]
    [*_, (start, end, _)] = matches(Redaction(kinds=(kind,)), f"{text()} x {last}")
    assert end - start == len(last)
