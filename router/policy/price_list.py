"""Prices that genai-prices lists, from the data in the installed package alone.

The package can refresh its prices over the network; what is read here never does, so that the
version on a charge says exactly which prices were used.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache

from genai_prices import Usage as ListedUsage
from genai_prices import __version__
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, StartDateConstraint, TieredPrices

from tierqueue.router.money import NANO_PER_USD, NanoUSD, round_up
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.prices import GenaiPrice, MaxRate

_SNAPSHOT = DataSnapshot(providers=providers, from_auto_update=False)

_INPUT = ("input", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h")
_OUTPUT = ("output", "output_reasoning")
_COUNTED = {f"{name}_mtok" for name in (*_INPUT, *_OUTPUT)} | {"requests_kcount"}
_NEVER_ASKED_FOR = ("audio", "image", "video", "document", "searches")
"""Price keys with these words are for tools and payloads that no call of ours uses."""


class NotListed(LookupError):
    """genai-prices has no price that can be used for text; the message says what is wrong."""


@cache
def find(price: GenaiPrice) -> tuple[Provider, ModelInfo]:
    """The listed provider and model; raises ``NotListed``, never guesses a price."""
    try:
        provider, model = _SNAPSHOT.find_provider_model(price.model, None, price.provider, None)
    except LookupError:
        raise NotListed(f"does not list {price.provider}/{price.model}") from None
    for listed in _ever(model):
        keys = {key for key, value in vars(listed).items() if value is not None}
        missing = {"input_mtok", "output_mtok"} - keys
        odd = {key for key in keys - _COUNTED if not any(word in key for word in _NEVER_ASKED_FOR)}
        if missing or odd:
            wrong = f"without {min(missing)}" if missing else f"by {min(odd)}"
            raise NotListed(f"prices {price.provider}/{price.model} {wrong}")
    return provider, model


def source(price: GenaiPrice) -> str:
    """The price list a charge names: the package's version and the model it was found under."""
    provider, model = find(price)
    return f"genai-prices {__version__} {provider.id}/{model.id}"


def cost(price: GenaiPrice, usage: Usage, at: datetime) -> NanoUSD:
    """What ``usage`` cost at ``at``, at the service tier that the provider reported."""
    provider, model = find(price)
    if not usage.total_input and not usage.output_tokens:
        return NanoUSD(0)
    counted = ListedUsage(
        input_tokens=usage.total_input,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
        output_reasoning_tokens=min(usage.reasoning_tokens, usage.output_tokens),
    )
    tier = usage.service_tier
    # Providers report "batch" among their service tiers; the list keeps it as a way of processing.
    context = {"processing" if tier == "batch" else "service_tier": tier} if tier else None
    priced = model.calc_price(counted, provider, genai_request_timestamp=at, price_context=context)
    return round_up(priced.total_price * NANO_PER_USD)


def max_rate(price: GenaiPrice, since: date) -> MaxRate:
    """The highest rates that can apply on ``since`` (UTC) or later.

    Over cache classes, long-context steps, hours of the day, announced changes and the service
    tiers a provider may choose by itself.
    """
    _, model = find(price)
    lists = _from(model, since) + [
        variant.prices
        for variant in model.price_variants or ()
        if variant.when.keys() == {"service_tier"}
    ]
    starts = {-1} | {
        tier.start
        for listed in lists
        for value in vars(listed).values()
        if isinstance(value, TieredPrices)
        for tier in value.tiers
    }
    return MaxRate.of(
        (
            start,
            _highest(lists, _INPUT, start),
            _highest(lists, _OUTPUT, start),
            max(_at(vars(listed).get("requests_kcount"), start) for listed in lists) * 1000,
        )
        for start in starts
    )


def _ever(model: ModelInfo) -> list[ModelPrice]:
    """Every price list the model has or had."""
    if isinstance(model.prices, ModelPrice):
        return [model.prices]
    return [price.prices for price in model.prices]


def _from(model: ModelInfo, since: date) -> list[ModelPrice]:
    """The price lists that can apply on ``since`` or later: later entries supersede earlier."""
    first = 0
    if not isinstance(model.prices, ModelPrice):
        midnight = datetime(since.year, since.month, since.day, tzinfo=UTC)
        for number, price in enumerate(model.prices):
            limit = price.constraint
            if limit is None or (isinstance(limit, StartDateConstraint) and limit.active(midnight)):
                first = number
    return _ever(model)[first:]


def _highest(lists: list[ModelPrice], names: tuple[str, ...], start: int) -> Fraction:
    """The highest rate of these classes for calls above ``start``, in nano-dollars a token."""
    return max(_at(vars(listed).get(f"{name}_mtok"), start) for listed in lists for name in names)


def _at(value: Decimal | TieredPrices | None, start: int) -> Fraction:
    """A price in dollars per million for calls just above ``start`` tokens, in nano-dollars each.

    Every step up to ``start`` is looked at, in case a longer context is the cheaper one.
    """
    if isinstance(value, TieredPrices):
        reached = [tier.price for tier in value.tiers if tier.start <= start]
        value = max([value.base, *reached])
    return Fraction(value or 0) * NANO_PER_USD / 1_000_000
