"""Prices in the shape that arithmetic wants: whole numbers over one common denominator."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Self

from tierqueue.router.money import NanoUSD
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.prices import Prices


@dataclass(frozen=True, slots=True)
class Rates:
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
