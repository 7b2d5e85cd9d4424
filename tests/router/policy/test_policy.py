"""tierqueue.toml: what it may say, and what is said back where it is wrong."""

from collections.abc import Iterator
from dataclasses import replace
from typing import get_origin

import pytest
from pydantic import BaseModel

from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.item import Demands, Fallback, Latency, Risk, Sensitivity, Tier
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.demands import resolve
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.policy.policy_errors import _table_in, filled_in

HOUSE = """
[deployments.house]
tier = "gpu"
engine = "vllm"
model = "tiny"
boundary = "house"
context_window = 32768
gpu_hour = "3.60"
"""
CLOSED = """
[deployments.closed]
tier = "frontier"
engine = "anthropic"
model = "large"
boundary = "vendor:anthropic"
key_env = "ANTHROPIC_API_KEY"
context_window = 200000
prices = { input = "3", cache_read = "0.3", output = "15" }
limits = { tokens_per_minute = 400000 }
"""


def _policy(text: str) -> Policy:
    return parse_policy(text, "tierqueue.toml")


def _refusal(text: str) -> str:
    with pytest.raises(InvalidPolicy) as caught:
        _policy(text)
    return caught.value.message


def test_what_a_policy_says_of_a_tier_leaves_its_other_defaults_as_they_are() -> None:
    gpu = _policy(HOUSE + CLOSED + "[tiers.gpu]\nslice = 32\n").tiers[Tier.GPU]
    assert (gpu.concurrency, gpu.slice) == (384, 32)


def test_a_policy_is_read_with_all_tiers_and_every_default() -> None:
    policy = _policy(HOUSE + CLOSED + "[tiers.gpu]\nconcurrency = 4\n")
    assert set(policy.tiers) == set(Tier)
    assert (policy.tiers[Tier.GPU].concurrency, policy.tiers[Tier.GPU].slice) == (4, 128)
    assert policy.tiers[Tier.FRONTIER].concurrency == 32
    assert (policy.retry.calls, policy.retry.poison, policy.retry.unknown) == (4, 3, "retry_outage")
    assert (policy.default_sensitivity, policy.allow_regulated_by_name) == (None, False)
    house, closed = policy.deployments["house"], policy.deployments["closed"]
    assert (house.name, house.provider, house.metered) == ("house", "house", False)
    assert (closed.name, closed.provider, closed.metered) == ("closed", "anthropic", True)
    assert house.gpu_hour == 1_000_000  # nano-dollars a second
    assert closed.prices is not None
    assert closed.prices.input == 3000  # nano-dollars a token
    assert closed.prices.cache_read == 300


def test_an_empty_policy_allows_nothing_and_is_the_strictest() -> None:
    policy = _policy("")
    assert (policy.deployments, policy.allow_simulated) == ({}, False)
    assert resolve(Demands(), "t", policy, 0).sensitivity is Sensitivity.REGULATED


def test_the_digest_follows_the_text() -> None:
    assert _policy(HOUSE).digest == _policy(HOUSE).digest != _policy(HOUSE + "\n").digest


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("allow_simulatd = true", "allow_simulatd", "allow_simulated"),
        (HOUSE.replace("gpu_hour", "gpu_hours"), "deployments.house.gpu_hours", "gpu_hour"),
        (HOUSE.replace('"gpu"', '"gpuu"'), "deployments.house.tier", "gpu"),
        (HOUSE.replace('"vllm"', '"vlm"'), "deployments.house.engine", "vllm"),
        (CLOSED.replace("cache_read", "cached_read"), "prices.cached_read", "cache_read"),
        (CLOSED.replace("tokens_per_minute", "tokens_per_min"), "limits.", "tokens_per_minute"),
        ("[tiers.open_wait]\nslice = 1", "tiers.open_wait", "open_weight"),
        ('[tasks."a.b"]\ndeadlin = "1h"', 'tasks."a.b".deadlin', "deadline"),
        ('[[floors]]\nflor = "gpu"', "flor of the first [[floors]]", "floor"),
        (
            '[[ceilings]]\nscope = "budgt"\nlimit = "1usd"',
            "scope of the first [[ceilings]]",
            "budget",
        ),
        (
            '[[ceilings]]\nscope = "tier"\nname = "gpv"\nlimit = "1usd"',
            "name of the first [[ceilings]]",
            "gpu",
        ),
        (
            HOUSE + '[[ceilings]]\nscope = "deployment"\nname = "hose"\nlimit = "1usd"',
            "name of the first [[ceilings]]",
            "house",
        ),
        ("[retry]\nposion = 1", "retry.posion", "poison"),
        ('[retry]\nunknown = "retyr"', "retry.unknown", "retry"),
    ],
)
def test_a_typo_is_answered_with_its_key_and_the_nearest_valid_word(
    text: str, key: str, hint: str
) -> None:
    message = _refusal(text)
    assert message.startswith("tierqueue.toml: ")
    assert key in message
    assert f"did you mean {hint!r}?" in message


def _tables(
    model: type[BaseModel] = Policy, before: tuple[str, ...] = ()
) -> Iterator[tuple[str, type[BaseModel]]]:
    """The header of each table that a policy may have, and what it holds."""
    for key, field in model.model_fields.items():
        if key in filled_in(model) or (table := _table_in(field.annotation)) is None:
            continue
        many = get_origin(field.annotation) in (tuple, list)
        named = get_origin(field.annotation) is dict
        name = "gpu" if key == "tiers" else "a-name"
        path = (*before, key, *([name] if named else []))
        yield (f"[[{'.'.join(path)}]]" if many else f"[{'.'.join(path)}]"), table
        if not many:
            yield from _tables(table, path)


TABLES = dict(_tables())


def test_the_tables_of_a_policy_are_found() -> None:
    assert {"[tasks.a-name.rules]", "[[floors]]", "[deployments.a-name.prices]"} <= TABLES.keys()


@pytest.mark.parametrize("header", TABLES)
def test_a_misspelt_key_of_any_table_is_answered_with_the_nearest(header: str) -> None:
    model = TABLES[header]
    keys = [key for key in model.model_fields if key not in filled_in(model)]
    for key in keys:
        typo = next(one for one in (f"{key}s", f"{key}_", key[:-1]) if one not in keys)
        message = _refusal(f"{header}\n{typo} = 1\n")
        assert "unknown key; did you mean " in message, message
        assert typo in message


@pytest.mark.parametrize(
    ("header", "quoted"),
    [
        ("[tasks.tierqueue.classify]", '[tasks."tierqueue.classify"]'),
        ("[tasks.tierqueue.classify.rules]", '[tasks."tierqueue.classify"]'),
        ("[deployments.gpt-4.1]", '[deployments."gpt-4.1"]'),
        ("[budgets.team.a]", '[budgets."team.a"]'),
    ],
)
def test_a_name_with_a_dot_that_is_not_quoted_is_answered_with_how_it_is(
    header: str, quoted: str
) -> None:
    message = _refusal(f"{header}\nweight = 2\n")
    assert message.endswith(f"a name with a dot is quoted, {quoted}")


def test_a_digest_that_is_none_is_told_how_to_get_one() -> None:
    stated = 'agreement = 0.9\nfile = "a.csv"\nsha256 = "ABC"'
    message = _refusal(f'[tasks."tierqueue.classify".rules]\n{stated}\n')
    assert message.startswith('tierqueue.toml: tasks."tierqueue.classify".rules.sha256: is not a')
    assert "`sha256sum FILE`" in message


def test_relative_files_lie_beside_the_policy() -> None:
    policy = parse_policy(HOUSE, "/etc/tierqueue/tierqueue.toml", "/etc/tierqueue")
    assert policy.place_of("rules.csv") == "/etc/tierqueue/rules.csv"
    assert policy.place_of("/srv/rules.csv") == "/srv/rules.csv"
    assert _policy(HOUSE).place_of("rules.csv") == "rules.csv"
    assert "folder: is not a key" in _refusal('folder = "/etc"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "tierqueue.toml is not TOML"),
        ("deployments = 3", "deployments: is not a table"),
        ("floors = 3", "floors: is not an array"),
        ('digest = "mine"', "digest: is not a key"),
        (HOUSE + 'name = "other"', "deployments.house.name: is not a key"),
        (HOUSE.replace('boundary = "house"\n', ""), "deployments.house.boundary: is missing"),
        (HOUSE.replace('"house"', '"home"'), '\'home\' is not "house" or "vendor:<name>"'),
        (HOUSE.replace("32768", "true"), "context_window"),
        (HOUSE.replace("32768", "0"), "greater than 0"),
        (HOUSE + 'key_env = "K"', "vllm has no key"),
        (CLOSED.replace('key_env = "ANTHROPIC_API_KEY"\n', ""), "key_env is missing"),
        (HOUSE.replace('"vllm"', '"openai"'), "key_env is missing"),
        (HOUSE + "tasks = []", "deployments.house.tasks"),
        (CLOSED + "engine_options = { a = 1 }", "engine_options"),
        (CLOSED + 'adapters = { "t.a" = "/a" }', "adapters are for vllm engines only"),
        (
            HOUSE + 'tasks = ["t.b"]\nadapters = { "t.a" = "/a" }',
            'adapters."t.a": the deployment',
        ),
        (
            HOUSE + 'adapters = { "t.a" = "/a" }\nengine_options = { max_loras = 1 }',
            "engine_options.max_loras is set by the adapters",
        ),
        (HOUSE + 'engine_options = { model = "m" }', "stated as the deployment's model"),
        (HOUSE + "engine_options = { enable_log_requests = true }", "never written into a log"),
        (HOUSE + 'prices = { input = "1", output = "1" }', "keep exactly one"),
        (CLOSED.replace("prices = {", 'gpu_hour = "1" #'), "our own engines"),
        (CLOSED.replace('"15"', "15.0"), "write dollars as a string"),
        (CLOSED.replace('"15"', '"-15"'), "is not a price"),
        (CLOSED.replace('"15"', '"NaN"'), "is not a price"),
        (CLOSED.replace(', output = "15"', ""), "deployments.closed.prices.output: is missing"),
        (CLOSED + 'base_url = "ftp://x"', "http:// or https://"),
        (CLOSED + 'base_url = "http://me:hunter2@x"', "holds a login"),
        ('[tasks.a]\ndeadline = "1 hour"', "write it like 30s, 5m, 24h or 7d"),
        ('[tasks.a]\ndeadline = "0s"', "is not a duration"),
        ('[tasks.a]\nmax_cost = "much"', "not an amount of money"),
        ('[[ceilings]]\nscope = "job"\nlimit = "1usd"\ntimezone = "Mars"', "not a time zone"),
        ('[[ceilings]]\nscope = "everything"\nname = "x"\nlimit = "1usd"', "has no name"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(text: str, said: str) -> None:
    assert said in _refusal(text)


@pytest.mark.parametrize("event", ["on_ceiling", "on_throttle", "on_outage"])
@pytest.mark.parametrize(
    ("table", "floor", "refused"),
    [
        ("", 'floor = "frontier"', True),
        ("", 'task = "a"\nfloor = "frontier"', True),
        ("", 'task = "b"\nfloor = "frontier"', False),
        ('risk = "internal"', 'risk = "internal"\nfloor = "frontier"', True),
        # Items of a milder risk may still use it.
        ("", 'risk = "auto_applied"\nfloor = "frontier"', False),
    ],
)
def test_a_fallback_below_the_floor_of_its_task_type_is_refused_where_it_is_declared(
    event: str, table: str, floor: str, refused: bool
) -> None:
    text = f'[tasks.a]\n{table}\n{event} = "gpu"\n[[floors]]\n{floor}\n'
    if refused:
        assert f"tasks.a.{event} = 'gpu' is below the floor 'frontier'" in _refusal(text)
    else:
        assert _policy(text)


def test_a_fallback_to_a_tier_without_a_deployment_is_refused_where_it_is_declared() -> None:
    assert "no deployment is of that tier" in _refusal('[tasks.a]\non_outage = "gpu"\n' + CLOSED)
    assert _policy('[tasks.a]\non_outage = "gpu"\n' + HOUSE + CLOSED)


def test_a_fallback_below_the_floor_that_applies_is_none() -> None:
    policy = _policy('[[floors]]\nrisk = "auto_applied"\nfloor = "open_weight"')
    own = Demands(fallback=Fallback(on_throttle=Tier.GPU, on_outage=Tier.OPEN_WEIGHT))
    fallback = resolve(own, "a", policy, 0).fallback
    assert (fallback.on_throttle, fallback.on_outage) == (None, Tier.OPEN_WEIGHT)
    mild = replace(own, risk=Risk.INTERNAL)
    assert resolve(mild, "a", policy, 0).fallback == own.fallback


def test_a_login_in_an_address_is_not_repeated_in_the_error() -> None:
    assert "hunter2" not in _refusal(CLOSED + 'base_url = "http://me:hunter2@x"')


def test_a_simulated_deployment_needs_the_policy_to_say_so() -> None:
    simulated = HOUSE + "simulated = true\n"
    assert "allow_simulated = true" in _refusal(simulated)
    assert _policy("allow_simulated = true" + simulated).deployments["house"].simulated


def test_a_deployment_may_be_unpriced_and_a_price_of_zero_is_a_price() -> None:
    assert _policy(HOUSE.replace("gpu_hour", "# gpu_hour")).deployments["house"].gpu_hour is None
    assert _policy(HOUSE.replace("3.60", "0")).deployments["house"].gpu_hour == 0
    both = HOUSE.replace("3.60", "0") + 'prices = { input = "0", output = "0" }'
    assert "keep exactly one" in _refusal(both)


@pytest.mark.parametrize(
    ("per_minute", "window", "burst"),
    [(400_000, 200_000, 200_000), (100_000, 200_000, 50_000), (10_000_000, 1_000, 1_000_000)],
)
def test_a_burst_is_a_context_window_or_what_the_minute_can_give(
    per_minute: int, window: int, burst: int
) -> None:
    text = CLOSED.replace("400000", str(per_minute)).replace("200000", str(window))
    assert _policy(text).deployments["closed"].token_burst == burst
    assert _policy(HOUSE).deployments["house"].token_burst is None


TASKS = """
default_sensitivity = "internal"
[tasks."tierqueue.classify"]
risk = "customer_facing"
sensitivity = "public"
latency = "interactive"
deadline = "1h"
floor = "gpu"
max_cost = "0.01usd"
budget = "support"
[[floors]]
risk = "customer_facing"
floor = "open_weight"
[[floors]]
task = "tierqueue.extract"
risk = "auto_applied"
floor = "frontier"
"""


def test_a_task_types_defaults_fill_what_an_item_does_not_say() -> None:
    assert resolve(Demands(), "tierqueue.classify", _policy(TASKS), 10) == Demands(
        risk=Risk.CUSTOMER_FACING,
        sensitivity=Sensitivity.PUBLIC,
        latency=Latency.INTERACTIVE,
        deadline=10 + 3_600 * SECOND_US,
        max_cost=NanoUSD(10_000_000),
        floor=Tier.OPEN_WEIGHT,
        budget="support",
    )


def test_an_items_own_demands_win_except_over_a_higher_floor() -> None:
    own = Demands(
        risk=Risk.INTERNAL,
        sensitivity=Sensitivity.REGULATED,
        latency=Latency.BACKGROUND,
        deadline=7,
        max_cost=NanoUSD(0),
        floor=Tier.FRONTIER,
        budget="own",
    )
    assert resolve(own, "tierqueue.classify", _policy(TASKS), 10) == own
    low = Demands(risk=Risk.AUTO_APPLIED, floor=Tier.GPU)
    assert resolve(low, "tierqueue.extract", _policy(TASKS), 10).floor is Tier.FRONTIER


def test_what_nobody_states_is_the_strictest() -> None:
    assert resolve(Demands(), "other", _policy(TASKS), 0) == Demands(
        risk=Risk.AUTO_APPLIED,
        sensitivity=Sensitivity.INTERNAL,
        latency=Latency.BACKGROUND,
        deadline=24 * 3_600 * SECOND_US,
        max_cost=None,
        floor=Tier.GPU,
        budget="default",
    )


def test_resolving_twice_changes_nothing() -> None:
    policy = _policy(TASKS)
    once = resolve(Demands(), "tierqueue.extract", policy, 5)
    assert resolve(once, "tierqueue.extract", policy, 999) == once


def test_an_engine_of_ones_own_routes_by_its_own_window_where_none_is_stated() -> None:
    bare = HOUSE.replace("context_window = 32768\n", "")
    told = parse_policy(bare + "engine_options = { max_model_len = 4096 }", "test")
    assert told.deployments["house"].context_window == 4096
    both = parse_policy(HOUSE + "engine_options = { max_model_len = 40960 }", "test")
    assert both.deployments["house"].context_window == 32768
    for unknown in ("", "engine_options = { max_model_len = -1 }"):
        with pytest.raises(InvalidPolicy, match="context_window: is missing"):
            parse_policy(bare + unknown, "test")


def test_engine_options_may_be_nested() -> None:
    options = "{ tensor_parallel_size = 2, limit_mm_per_prompt = { image = 0, audio = 0 } }"
    policy = parse_policy(HOUSE + f"engine_options = {options}", "test")
    assert policy.deployments["house"].engine_options == {
        "tensor_parallel_size": 2,
        "limit_mm_per_prompt": {"image": 0, "audio": 0},
    }
    assert hash(policy.deployments["house"])


def test_an_engine_option_is_no_date() -> None:
    with pytest.raises(InvalidPolicy, match="engine_options"):
        parse_policy(HOUSE + "engine_options = { a = 2026-01-01 }", "test")
