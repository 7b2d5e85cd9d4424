"""The prompt cache: a prefix is there for calls that come after its answer has begun."""

import pytest

from sandbox.answering.cache import PromptCache
from sandbox.wires.call import CacheMark, Call, Usage

LONG = "word " * 2_000


def a_call(api: str, question: str) -> Call:
    marks = (CacheMark(1, 300),) if api == "anthropic" else ()
    return Call(
        api=api,  # type: ignore[arg-type]
        model="m",
        pieces=(LONG, question),
        subject=question,
        schema=None,
        wants_json=False,
        max_output=10,
        marks=marks,
    )


def cached(cache: PromptCache, api: str, came: float, now: float, question: str = "?") -> int:
    usage: Usage = cache.use(a_call(api, question), 3_000, came, now)
    assert usage.all_input == 3_000
    return usage.cached


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_what_came_before_the_first_answer_began_is_not_served_from_the_cache(api: str) -> None:
    cache = PromptCache()
    assert cached(cache, api, came=0.0, now=5.0) == 0
    assert cached(cache, api, came=4.9, now=9.0, question="beside it") == 0
    assert cached(cache, api, came=5.0, now=9.0, question="after it") > 1_024


@pytest.mark.parametrize(("api", "ttl"), [("openai", 3_600), ("anthropic", 300)])
def test_it_is_there_for_its_time_and_each_use_renews_it(api: str, ttl: int) -> None:
    cache = PromptCache()
    cached(cache, api, came=0.0, now=0.0)
    assert cached(cache, api, came=ttl - 1, now=ttl - 1) > 0
    assert cached(cache, api, came=2 * ttl - 2, now=2 * ttl - 2) > 0
    assert cached(cache, api, came=3 * ttl, now=3 * ttl) == 0
