"""Bounds before a call and charges after it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from importlib.metadata import version
from math import ceil

import pytest
from genai_prices.data import providers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.drawing import examples
from tests.router.specs import upper_bound
from tierqueue.router.errors import Unpriced
from tierqueue.router.outcome import Usage
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.pricing import LATE_SECONDS, charge
from tierqueue.router.signals import Signals

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
LISTED = sorted((provider.id, model.id) for provider in providers for model in provider.models)
UNUSUAL = sorted(
    (provider.id, model.id)
    for provider in providers
    for model in provider.models
    if isinstance(model.prices, list)
    or {"requests_kcount", "output_reasoning_mtok"} & vars(model.prices).keys()
)
"""Listed models whose price changes by day or hour, or that charge for more than tokens."""

prices = st.decimals(min_value=0, max_value=1000, places=6).map(str)
tokens = st.integers(min_value=0, max_value=2_000_000)


def _deployment(**stated: object) -> Deployment:
    house = "gpu_hour" in stated
    own: dict[str, object] = {
        "name": "d",
        "policy": sha256(repr(stated).encode()).hexdigest()[:12],
        "tier": "gpu" if house else "frontier",
        "engine": "vllm" if house else "openai",
        "model": "m",
        "boundary": "house" if house else "vendor:v",
        "context_window": 1_000_000,
    }
    if not house:
        own["key_env"] = "KEY"
    return Deployment.model_validate(own | stated)


def _listed(provider: str, model: str) -> Deployment:
    return _deployment(genai_price={"provider": provider, "model": model})


@st.composite
def usages(draw: st.DrawFn) -> tuple[Signals, Usage]:
    """Signals and any usage within them: every split over the cache classes."""
    signals = Signals(draw(tokens), draw(tokens))
    total = draw(st.integers(0, signals.input_tokens_bound))
    cuts = sorted(draw(st.lists(st.integers(0, total), min_size=3, max_size=3)))
    output = draw(st.integers(0, signals.output_tokens_bound))
    usage = Usage(
        input_tokens=cuts[0],
        cache_read_tokens=cuts[1] - cuts[0],
        cache_write_5m_tokens=cuts[2] - cuts[1],
        cache_write_1h_tokens=total - cuts[2],
        output_tokens=output,
        reasoning_tokens=draw(st.integers(0, output)),
        service_tier=draw(st.sampled_from([None, "default", "flex", "priority", "fast", "x"])),
    )
    assert usage.total_input == total
    return signals, usage


@st.composite
def price_lists(draw: st.DrawFn) -> dict[str, str]:
    optional = {"cache_read": prices, "cache_write_5m": prices, "cache_write_1h": prices}
    return draw(st.fixed_dictionaries({"input": prices, "output": prices}, optional=optional))


def _by_hand(rates: dict[str, str], usage: Usage) -> int:
    """Nano-dollars from dollars per million tokens, rounded up once."""
    plain = Fraction(rates["input"])
    write = Fraction(rates.get("cache_write_5m", plain))
    exact = (
        usage.input_tokens * plain
        + usage.cache_read_tokens * Fraction(rates.get("cache_read", plain))
        + usage.cache_write_5m_tokens * write
        + usage.cache_write_1h_tokens * Fraction(rates.get("cache_write_1h", max(plain, write)))
        + usage.output_tokens * Fraction(rates["output"])
    )
    return ceil(exact * 1000)


@given(price_lists(), usages())
def test_a_policys_bound_covers_every_usage_within_it_and_the_charge_is_exact(
    rates: dict[str, str], drawn: tuple[Signals, Usage]
) -> None:
    signals, usage = drawn
    deployment = _deployment(prices=rates)
    charged = charge(deployment, usage, AT)
    assert charged.source == f"policy:{deployment.policy}"
    assert charged.cost == _by_hand(rates, usage)
    assert charged.cost <= upper_bound(deployment, signals)


@given(price_lists(), tokens, tokens)
def test_a_bound_is_reached_by_the_most_expensive_class_and_no_wider(
    rates: dict[str, str], input_tokens: int, output_tokens: int
) -> None:
    deployment = _deployment(prices=rates)
    alike = (
        Usage(input_tokens=input_tokens, output_tokens=output_tokens),
        Usage(cache_read_tokens=input_tokens, output_tokens=output_tokens),
        Usage(cache_write_5m_tokens=input_tokens, output_tokens=output_tokens),
        Usage(cache_write_1h_tokens=input_tokens, output_tokens=output_tokens),
    )
    max_rate = max(charge(deployment, usage, AT).cost for usage in alike)
    assert upper_bound(deployment, Signals(input_tokens, output_tokens)) == max_rate


@settings(deadline=None, max_examples=examples(300))
@given(
    st.one_of(st.sampled_from(LISTED), st.sampled_from(UNUSUAL)),
    usages(),
    st.integers(0, 3 * 365 * 24),
    st.integers(0, 400),
)
def test_a_listed_models_bound_covers_every_usage_hour_and_service_tier_from_its_day_on(
    model: tuple[str, str], drawn: tuple[Signals, Usage], hours: int, later: int
) -> None:
    signals, usage = drawn
    since = date(2024, 1, 1) + timedelta(days=hours // 24)
    at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hours, days=later)
    deployment = _listed(*model)
    try:
        bound = upper_bound(deployment, signals, since)
    except Unpriced:
        with pytest.raises(Unpriced):
            charge(deployment, usage, at)
        assume(False)
    charged = charge(deployment, usage, at)
    assert charged.cost <= bound <= upper_bound(deployment, signals)
    assert charged.source.startswith("genai-prices ")


@pytest.mark.parametrize("vendor", ["anthropic", "deepseek"])
def test_every_listed_model_of_a_text_vendor_has_a_price(vendor: str) -> None:
    models = [model for provider, model in LISTED if provider == vendor]
    assert models
    for model in models:
        assert upper_bound(_listed(vendor, model), Signals(1000, 1000)) > 0


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        # claude-sonnet-4-5, dollars per million: 3 in, 0.30 read, 3.75 and 6 written, 15 out.
        (Usage(input_tokens=100, output_tokens=10), 450_000),
        (Usage(input_tokens=100, cache_read_tokens=1000, output_tokens=10), 750_000),
        (Usage(cache_write_5m_tokens=1000, cache_write_1h_tokens=1000), 9_750_000),
        # Above 200,000 input tokens of all classes together: 6 in, 0.60 read, 22.50 out.
        (
            Usage(input_tokens=1, cache_read_tokens=200_000, output_tokens=10),
            6_000 + 120_000_000 + 225_000,
        ),
        (Usage(), 0),
    ],
)
def test_a_listed_price_is_charged_to_the_last_nano_dollar(usage: Usage, nano: int) -> None:
    charged = charge(_listed("anthropic", "claude-sonnet-4-5"), usage, AT)
    assert charged.cost == nano
    assert charged.source == f"genai-prices {version('genai-prices')} anthropic/claude-sonnet-4-5"


def test_a_long_context_bound_counts_the_expensive_step_only_where_it_can_be_reached() -> None:
    deployment = _listed("anthropic", "claude-sonnet-4-5")
    below = upper_bound(deployment, Signals(200_000, 0), AT.date())
    above = upper_bound(deployment, Signals(200_001, 0), AT.date())
    assert below == 200_000 * 6_000  # the 1 h cache write
    assert above == 200_001 * 12_000


def test_a_price_by_the_hour_of_the_day_is_bounded_by_the_expensive_hour() -> None:
    deployment = _listed("deepseek", "deepseek-chat")
    usage = Usage(input_tokens=1_000_000)
    day, night = AT, AT.replace(hour=20)
    assert charge(deployment, usage, night).cost < charge(deployment, usage, day).cost
    bound = upper_bound(deployment, Signals(1_000_000, 0), AT.date())
    assert bound == charge(deployment, usage, day).cost


def test_a_superseded_price_is_held_for_only_before_the_day_of_the_change() -> None:
    # The long-context step of claude-sonnet-4-6 was given up on 13 March 2026.
    deployment, signals = _listed("anthropic", "claude-sonnet-4-6"), Signals(300_000, 0)
    before = upper_bound(deployment, signals, date(2026, 3, 12))
    after = upper_bound(deployment, signals, date(2026, 3, 13))
    assert (before, after) == (300_000 * 12_000, 300_000 * 6_000)
    assert upper_bound(deployment, signals) == before


def test_a_fee_for_each_request_is_bounded_and_charged_once_where_a_call_was_made() -> None:
    deployment = _listed("perplexity", "sonar-pro")  # $14 for 1,000 requests, $3 and $15
    usage = Usage(input_tokens=10, output_tokens=1)
    assert charge(deployment, usage, AT).cost == 14_000_000 + 30_000 + 15_000
    assert upper_bound(deployment, Signals(10, 1)) == 14_000_000 + 30_000 + 15_000
    assert charge(deployment, Usage(), AT).cost == 0


def test_a_service_tier_that_the_provider_chose_is_charged_and_within_the_bound() -> None:
    deployment = _listed("openai", "gpt-5-mini")
    plain, fast = (
        charge(deployment, Usage(input_tokens=1000, service_tier=tier), AT).cost
        for tier in (None, "priority")
    )
    assert plain < fast <= upper_bound(deployment, Signals(1000, 0), AT.date())


@given(
    st.floats(min_value=0, max_value=60 + LATE_SECONDS, allow_nan=False),
    st.decimals(min_value=0, max_value=100, places=2),
)
def test_engine_time_is_charged_by_the_second_and_bounded_by_the_timeout(
    seconds: float, hour: Decimal
) -> None:
    deployment = _deployment(gpu_hour=str(hour), timeout=60)
    charged = charge(deployment, Usage(input_tokens=9, engine_seconds=seconds), AT)
    assert charged.cost == ceil(Fraction(seconds) * Fraction(hour) * 10**9 / 3600)
    assert charged.cost <= upper_bound(deployment, Signals(5, 5))
    assert charged.source == "gpu_hour"


def test_a_free_engine_is_still_priced() -> None:
    deployment = _deployment(gpu_hour="0")
    assert upper_bound(deployment, Signals(1000, 1000)) == 0
    assert charge(deployment, Usage(engine_seconds=3.0), AT).cost == 0


@pytest.mark.parametrize(
    "deployment",
    [
        _deployment(),
        _listed("openai", "no-such-model"),
        _listed("no-such-provider", "gpt-5-mini"),
        _listed("openai", "text-embedding-3-small"),
    ],
    ids=["no price", "unknown model", "unknown provider", "no price for output"],
)
def test_without_a_price_nothing_is_bounded_and_nothing_is_free(deployment: Deployment) -> None:
    with pytest.raises(Unpriced, match=r"Deployment d .*tierqueue.toml") as caught:
        upper_bound(deployment, Signals(1, 1))
    assert caught.value.fields == {"deployment": "d"}
    with pytest.raises(Unpriced):
        charge(deployment, Usage(input_tokens=1), AT)
