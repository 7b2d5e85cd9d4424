"""The price of a call: at the most before it, and in fact after it."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import inf

from tierqueue.router.errors import Unpriced
from tierqueue.router.money import NanoUSD, round_up
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.lanes import Lane
from tierqueue.router.policy.prices import MaxRate, TokenRates

LATE_SECONDS = 1
"""Seconds of engine time that a call may take to end after its timeout."""

CUT_SECONDS = Fraction(1, 4)
"""Seconds of engine time that a call may take to end once it has had what it is allowed."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call cost, in nano-dollars, and the price list (with its version) that says so."""

    cost: NanoUSD
    source: str


def charge(deployment: Deployment, usage: Usage, at: datetime) -> Charge:
    """What ``usage`` cost at ``at`` (UTC), rounded up once. Raises ``Unpriced``.

    By the flex tier's prices where the reply says that this tier served it, whatever was asked for.
    """
    if deployment.flex is not None and usage.service_tier == Lane.FLEX:
        return charge(deployment.in_flex, usage, at)
    if deployment.prices is not None:
        return Charge(_rates(deployment).cost(usage), f"policy:{deployment.policy}")
    if deployment.gpu_hour is not None:
        return Charge(_hours(usage.engine_seconds, deployment.gpu_hour), "gpu_hour")
    if deployment.genai_price is None:
        raise _unpriced(deployment, "states none of prices, genai_price and gpu_hour")
    # Loaded for a deployment that is priced by it: to read all its prices takes a while.
    from tierqueue.router.policy import price_list

    try:
        cost = price_list.cost(deployment.genai_price, usage, at)
        return Charge(cost, price_list.source(deployment.genai_price))
    except price_list.NotListed as wrong:
        raise _unpriced(deployment, f"has no price: genai-prices {wrong}") from None


@lru_cache(maxsize=1024)
def max_rate(deployment: Deployment, since: date) -> MaxRate:
    """The rates that bound what a call can cost. Prices that were superseded before ``since`` (a
    day, UTC) are left out. A deployment priced by engine time is bounded by its timeout and
    ``LATE_SECONDS``. Raises ``Unpriced``.
    """
    if deployment.prices is not None:
        rates = _rates(deployment)
        inputs = (rates.input, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h)
        highest, output = Fraction(max(inputs), rates.scale), Fraction(rates.output, rates.scale)
        return MaxRate.of([(-1, highest, output, Fraction(0))])
    if deployment.gpu_hour is not None:
        seconds = Fraction(Decimal(str(deployment.timeout))) + LATE_SECONDS
        return MaxRate.of([(-1, Fraction(0), Fraction(0), seconds * deployment.gpu_hour)])
    if deployment.genai_price is None:
        raise _unpriced(deployment, "states none of prices, genai_price and gpu_hour")
    from tierqueue.router.policy import price_list

    try:
        return price_list.max_rate(deployment.genai_price, since)
    except price_list.NotListed as wrong:
        raise _unpriced(deployment, f"has no price: genai-prices {wrong}") from None


def bound_by_time(deployment: Deployment, seconds: float) -> NanoUSD:
    """What a call can cost at the most that is ended after so many ``seconds`` of its engine."""
    assert deployment.gpu_hour is not None
    return min(
        _whole(deployment), round_up((Fraction(seconds) + CUT_SECONDS) * deployment.gpu_hour)
    )


@lru_cache(maxsize=4096)
def engine_seconds(deployment: Deployment, held: NanoUSD) -> float:
    """The seconds of its engine after which a call is ended for which ``held`` is held; infinite
    where its timeout, or the price of its tokens, bounds it.
    """
    if not deployment.gpu_hour or held >= _whole(deployment):
        return inf
    return float(max(Fraction(0), held / deployment.gpu_hour - CUT_SECONDS))


def _hours(seconds: float, price: Fraction) -> NanoUSD:
    """What so many seconds cost, exactly, rounded up once; Fraction would reduce at each step."""
    whole, parts = seconds.as_integer_ratio()
    return NanoUSD(-(-whole * price.numerator // (parts * price.denominator)))


def _whole(deployment: Deployment) -> NanoUSD:
    """What is held of a deployment that is paid by the hour where nothing is known of its calls."""
    return max_rate(deployment, date.min).bound(0, 0)


@lru_cache(maxsize=1024)
def _rates(deployment: Deployment) -> TokenRates:
    assert deployment.prices is not None
    return TokenRates.of(deployment.prices)


def _unpriced(deployment: Deployment, why: str) -> Unpriced:
    message = (
        f"Deployment {deployment.name} {why}. Nothing is sent where a call cannot be bounded: "
        "give it a price in tierqueue.toml."
    )
    return Unpriced(message, {"deployment": deployment.name})
