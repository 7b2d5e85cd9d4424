"""Money: exact to the nano-dollar, rounded up, never guessed."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import format_usd, parse_usd, round_up

amounts = st.integers(min_value=0, max_value=10**18)


@given(amounts)
def test_what_is_written_is_read_back_to_the_nano_dollar(nano: int) -> None:
    assert parse_usd(format_usd(nano)) == nano


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("2usd", 2_000_000_000),
        ("$0.05", 50_000_000),
        (" 0.05 USD ", 50_000_000),
        (3, 3_000_000_000),
        (0.1, 100_000_000),
        (0.00001, 10_000),
        (Decimal("0.000000001"), 1),
        ("$1,234.50", 1_234_500_000_000),
        ("0", 0),
    ],
)
def test_an_amount_is_read_as_people_write_it(text: object, nano: int) -> None:
    assert parse_usd(text) == nano  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two usd",
        "-1usd",
        "1eur",
        "1.2.3",
        "inf",
        "nan",
        "1e3",
        True,
        None,
        "1,5",
        "1,234",
        ".5",
        float("inf"),
    ],
)
def test_what_is_not_an_amount_is_refused(text: object) -> None:
    with pytest.raises(InvalidItem, match="not an amount of money"):
        parse_usd(text)  # type: ignore[arg-type]


def test_an_amount_finer_than_a_nano_dollar_is_refused_rather_than_rounded() -> None:
    with pytest.raises(InvalidItem, match="finer than a nano-dollar"):
        parse_usd("0.0000000001")


@given(st.fractions(min_value=0, max_value=10**15))
def test_rounding_goes_up_by_less_than_one(amount: Fraction) -> None:
    assert 0 <= round_up(amount) - amount < 1


def test_a_debt_keeps_its_sign_and_a_small_amount_its_digits() -> None:
    assert format_usd(-1_500_000_000) == "-$1.50"
    assert format_usd(1_234_000) == "$0.001234"
    assert format_usd(0) == "$0.00"
