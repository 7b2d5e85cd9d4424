"""Prices, as a policy states them and as arithmetic wants them, and what its tables share."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import lcm
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tierqueue.router.item import MOST_NAME
from tierqueue.router.money import NANO_PER_USD, NanoUSD
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.duration import parse_duration

TOKENS_PER_PRICE = 1_000_000
"""Token prices are written in dollars per so many tokens."""


class Table(BaseModel):
    """One table of tierqueue.toml: unknown keys refused, never changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


PositiveCount = Annotated[int, Field(strict=True, gt=0)]
Flag = Annotated[bool, Field(strict=True)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Name = Annotated[str, Field(min_length=1, max_length=MOST_NAME)]

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


@dataclass(frozen=True, slots=True)
class TokenRates:
    """What a token of each class costs: nano-dollars for ``scale`` tokens, exactly."""

    scale: int
    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int

    @classmethod
    def of(cls, prices: Prices) -> Self:
        """The rates of a price list; a class without a price costs what plain input costs."""
        write_5m = prices.input if prices.cache_write_5m is None else prices.cache_write_5m
        write_1h = prices.cache_write_1h
        per_token = (
            prices.input,
            prices.input if prices.cache_read is None else prices.cache_read,
            write_5m,
            max(prices.input, write_5m) if write_1h is None else write_1h,
            prices.output,
        )
        scale = lcm(*(rate.denominator for rate in per_token))
        return cls(scale, *(int(rate * scale) for rate in per_token))

    def cost(self, usage: Usage) -> NanoUSD:
        """What ``usage`` costs, rounded up once."""
        exact = (
            usage.input_tokens * self.input
            + usage.cache_read_tokens * self.cache_read
            + usage.cache_write_5m_tokens * self.cache_write_5m
            + usage.cache_write_1h_tokens * self.cache_write_1h
            + usage.output_tokens * self.output
        )
        return NanoUSD(-(-exact // self.scale))


@dataclass(frozen=True, slots=True)
class MaxRate:
    """The most a call can cost, whatever class its tokens turn out to be.

    ``starts`` are input sizes in tokens above which ``steps`` apply; a step is (nano-dollars for
    ``scale`` input tokens, the same for output, a fixed part times ``scale``) and never below the
    step before it.
    """

    scale: int
    starts: tuple[int, ...]
    steps: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, steps: Iterable[tuple[int, Fraction, Fraction, Fraction]]) -> Self:
        """From (start, input, output, fixed part), in nano-dollars a token and a call."""
        rising: list[tuple[int, Fraction, Fraction, Fraction]] = []
        for start, *rates in sorted(steps):
            floor = rising[-1][1:] if rising else (Fraction(0), Fraction(0), Fraction(0))
            most = [max(pair) for pair in zip(rates, floor, strict=True)]
            rising.append((start, most[0], most[1], most[2]))
        scale = lcm(*(rate.denominator for step in rising for rate in step[1:]))
        return cls(
            scale,
            tuple(step[0] for step in rising),
            tuple((int(i * scale), int(o * scale), int(f * scale)) for _, i, o, f in rising),
        )

    def bound(self, input_tokens: int, output_tokens: int) -> NanoUSD:
        """The most that a call of at most so many tokens can cost, rounded up once."""
        # A step applies strictly above its start; the first one starts below zero tokens.
        step = self.steps[max(bisect_left(self.starts, input_tokens), 1) - 1]
        exact = input_tokens * step[0] + output_tokens * step[1] + step[2]
        return NanoUSD(-(-exact // self.scale))
