"""Golden usage records: a provider's reply as it comes, priced to the last nano-dollar.

Each record holds a reply in the provider's own shape (the numbers are made up), what it must be
read as, and what it must cost. The cost is checked four ways: by the listed price, by the same
price stated in a policy, by hand, and by genai-prices reading the raw reply itself.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import genai_prices
import pytest

from tierqueue.router.outcome import Usage
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.pricing import charge
from tierqueue.workers.engines.anthropic import AnthropicEngine
from tierqueue.workers.engines.openai import OpenAIEngine

AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
ENGINES: dict[str, Any] = {"openai": OpenAIEngine, "anthropic": AnthropicEngine}
CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
RECORDS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "golden").glob("*.json"))
}
every_record = pytest.mark.parametrize("name", list(RECORDS))
listed_record = pytest.mark.parametrize("name", [n for n, r in RECORDS.items() if r["listed"]])


def deployment(name: str, **price: Any) -> Deployment:
    """A deployment of that record, at that price."""
    engine, house = RECORDS[name]["engine"], "gpu_hour" in price
    return Deployment.model_validate(
        {
            "name": name,
            "policy": f"{name}-{next(iter(price))}",
            "tier": "gpu" if house else "frontier",
            "engine": engine,
            "model": "m",
            "boundary": "house" if house else "vendor:v",
            "key_env": "KEY",
            "context_window": 1_000_000,
            **price,
        }
    )


def read(name: str) -> Usage:
    """The usage as the engine of that provider reads it off the reply."""
    record = RECORDS[name]
    engine = ENGINES[record["engine"]](
        deployment=name, base_url="http://127.0.0.1:1", key="k", simulated=False, metered=True
    )
    usage: Usage = engine._bill(record["body"])
    return usage


def test_every_providers_shape_has_a_record() -> None:
    assert set(RECORDS) == {
        *("anthropic_both_caches", "anthropic_long_context"),
        *("openai_chat", "openai_chat_flex", "openai_responses", "openrouter", "vllm_server"),
    }


@every_record
def test_a_reply_is_read_as_what_it_counts(name: str) -> None:
    assert read(name) == Usage(**RECORDS[name]["usage"])


@every_record
def test_the_price_a_policy_states_comes_to_the_last_nano_dollar(name: str) -> None:
    record = RECORDS[name]
    charged = charge(deployment(name, prices=record["prices"]), read(name), AT)
    assert charged.cost == record["nano"]


@every_record
def test_the_record_itself_is_right_by_hand(name: str) -> None:
    record = RECORDS[name]
    dollars_per_million = sum(
        record["usage"].get(f"{token_class}_tokens", 0)
        * Fraction(record["prices"].get(token_class, record["prices"]["input"]))
        for token_class in CLASSES
    )
    assert record["nano"] == ceil(dollars_per_million * 1000)


@listed_record
def test_the_listed_price_comes_to_the_same_nano_dollar(name: str) -> None:
    record = RECORDS[name]
    charged = charge(deployment(name, genai_price=record["listed"]), read(name), AT)
    assert charged.cost == record["nano"]
    assert charged.source.startswith("genai-prices ")


@listed_record
def test_the_price_list_reading_the_raw_reply_itself_agrees(name: str) -> None:
    record = RECORDS[name]
    extracted = genai_prices.extract_usage(
        record["body"], provider_id=record["listed"]["provider"], api_flavor=record["flavor"]
    )
    tier = record["usage"].get("service_tier")
    priced = genai_prices.calc_price(
        extracted.usage,
        record["listed"]["model"],
        provider_id=record["listed"]["provider"],
        genai_request_timestamp=AT,
        price_context={"service_tier": tier} if tier else None,
    )
    assert ceil(priced.total_price * 10**9) == record["nano"]


def test_what_openrouter_says_it_billed_is_what_we_booked() -> None:
    said = Decimal(str(RECORDS["openrouter"]["body"]["usage"]["cost"]))
    assert said * 10**9 == RECORDS["openrouter"]["nano"]


def test_a_house_server_is_charged_its_engine_time_and_not_its_tokens() -> None:
    by_the_hour = deployment("vllm_server", gpu_hour="2.00")
    usage = read("vllm_server")
    timed = Usage(**{**RECORDS["vllm_server"]["usage"], "engine_seconds": 1.25})
    assert charge(by_the_hour, usage, AT).cost == 0
    assert charge(by_the_hour, timed, AT).cost == 694_445  # 1.25 s of 3,600 s at $2, rounded up
