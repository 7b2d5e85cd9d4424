"""Prices as a policy states them, and what its tables have in common."""

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tierqueue.router.money import NANO_PER_USD
from tierqueue.router.policy.duration import parse_duration

TOKENS_PER_PRICE = 1_000_000
"""Token prices are written in dollars per so many tokens."""


class Table(BaseModel):
    """One table of tierqueue.toml: unknown keys refused, never changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


PositiveCount = Annotated[int, Field(strict=True, gt=0)]
Flag = Annotated[bool, Field(strict=True)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]

Duration = Annotated[int, BeforeValidator(parse_duration)]
"""Written like ``30s`` or ``7d``, kept in microseconds."""


def _dollars(text: Any) -> Fraction:
    """A decimal string of dollars, in exact nano-dollars."""
    try:
        amount = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite() or amount < 0:
        raise ValueError(f'{text!r} is not a price: write dollars as a string, like "0.40"')
    return Fraction(amount) * NANO_PER_USD


def _per_token(text: Any) -> Fraction:
    return _dollars(text) / TOKENS_PER_PRICE


def _per_second(text: Any) -> Fraction:
    return _dollars(text) / 3_600


TokenPrice = Annotated[Fraction, BeforeValidator(_per_token)]
"""Written in dollars per million tokens, kept in nano-dollars per token."""

HourPrice = Annotated[Fraction, BeforeValidator(_per_second)]
"""Written in dollars per hour, kept in nano-dollars per second."""


class Prices(Table):
    """A price list by token class; a class without a price costs what plain input costs."""

    input: TokenPrice
    """Of plain input."""

    cache_read: TokenPrice | None = None
    """Of input read from the provider's prompt cache; where nothing is stated, as ``input``."""

    cache_write_5m: TokenPrice | None = None
    """Of input written to a cache of five minutes; where nothing is stated, as ``input``."""

    cache_write_1h: TokenPrice | None = None
    """Of input written to a cache of an hour; where nothing is stated, the higher of ``input`` and
    ``cache_write_5m``."""

    output: TokenPrice
    """Of output, reasoning included."""


class GenaiPrice(Table):
    """Where genai-prices lists the model's price."""

    provider: str = Field(min_length=1)
    """The provider's id in the list."""

    model: str = Field(min_length=1)
    """The model's id under that provider, or a name that the list knows it by."""
