"""A request that is itself above its account's limit: its own end, and nobody's throttle."""

from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.engines.engine_asked import MODELS, asked, both, played
from tests.workers.engines.engine_calls import a_call, a_sandbox, replies
from tierqueue.router.outcome import Failed, Throttled
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.http import refusals
from tierqueue.workers.engines.http.token_limits import OversizedRequest

LONG = a_call("m", "word and word " * 20_000, output_limit=9_000)
"""280 kB: no fewer than 29,000 tokens, and about 60,000."""

OPENAI = (
    "Request too large for gpt-4o in organization org-mine on tokens per min (TPM): Limit 30000, "
    "Requested 30601. The input or output tokens must be reduced in order to run successfully. "
    "Visit https://platform.openai.com/account/rate-limits to learn more."
)
GROQ = (
    "Request too large for model `llama-3.1-8b-instant` in organization `org_mine` service tier "
    "`on_demand` on tokens per minute (TPM): Limit 6000, Requested 12328, please reduce your "
    "message size and try again. Need more tokens? Upgrade to Dev Tier today"
)
ANTHROPIC = (
    "This request would exceed the rate limit for your organization "
    "(0dccdde6-f924-4f1b-bb3b-92ef846e0a5b) of 20,000 input tokens per minute. For details, refer "
    "to: https://docs.anthropic.com/en/api/rate-limits."
)
NEWER = (
    "This request would exceed your organization's rate limit of 20,000 input tokens per minute "
    "(org: 0dccdde6, model: claude)."
)
OUTPUT = ANTHROPIC.replace("20,000 input", "8,000 output")
AZURE = (
    "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-08-01 "
    "have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after "
    "86400 seconds."
)
CEREBRAS = {
    "message": "Tokens per minute limit exceeded - too many tokens processed.",
    "type": "too_many_tokens_error",
    "param": "quota",
    "code": "token_quota_exceeded",
}
GEMINI = {
    "code": 429,
    "message": "You exceeded your current quota, please check your plan and billing details.",
    "status": "RESOURCE_EXHAUSTED",
    "details": [
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [
                {
                    "quotaMetric": "…/generate_content_free_tier_input_token_count",
                    "quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier",
                    "quotaValue": "25000",
                }
            ],
        }
    ],
}


def limited(message: str) -> dict[str, Any]:
    return {"message": message, "type": "tokens", "param": None, "code": "rate_limit_exceeded"}


def by_anthropic(message: str) -> dict[str, Any]:
    return {"type": "rate_limit_error", "message": message}


def whole(names: str, limit: int, left: int) -> dict[str, str]:
    return {names.format("limit"): str(limit), names.format("remaining"): str(left)}


INPUT = "anthropic-ratelimit-input-tokens-{}"
TOKENS = "x-ratelimit-{}-tokens"

OWN: dict[str, tuple[int, Any, dict[str, str], OversizedRequest]] = {
    "OpenAI": (429, limited(OPENAI), {}, OversizedRequest(asked=30601, limit=30000)),
    "Groq": (413, limited(GROQ), {}, OversizedRequest(asked=12328, limit=6000)),
    "OpenRouter": (
        429,
        {"code": 429, "message": "Provider returned error", "metadata": {"raw": OPENAI}},
        {},
        OversizedRequest(asked=30601, limit=30000),
    ),
    "Anthropic, by its size": (429, by_anthropic(ANTHROPIC), {}, OversizedRequest(limit=20000)),
    "Anthropic in newer words": (429, by_anthropic(NEWER), {}, OversizedRequest(limit=20000)),
    "Anthropic's output": (429, by_anthropic(OUTPUT), {}, OversizedRequest(asked=9000, limit=8000)),
    "Anthropic, of bytes": (
        413,
        {"type": "request_too_large", "message": "Request exceeds the maximum size"},
        {},
        OversizedRequest(),
    ),
    "Azure": (
        429,
        {"code": "429", "message": AZURE},
        whole(TOKENS, 500, 500),
        OversizedRequest(limit=500),
    ),
    "Cerebras": (
        429,
        CEREBRAS,
        whole(f"{TOKENS}-minute", 30000, 30000),
        OversizedRequest(limit=30000),
    ),
    "Gemini": (429, GEMINI, {}, OversizedRequest(limit=25000)),
}


@both
@pytest.mark.parametrize("who", list(OWN))
def test_a_request_above_the_accounts_limit_ends_by_itself_with_both_figures(
    kind: str, who: str
) -> None:
    status, error, headers, large = OWN[who]
    told = {**headers, "retry-after": "60"}
    reply = played(kind, replies(status, {"error": error}, told), LONG)
    assert isinstance(reply, Failed), reply
    assert (reply.transient, reply.reason, reply.kind) == (False, "too_large", f"http_{status}")
    assert large.message() in reply.message
    for figure in (large.asked, large.limit):
        assert figure is None or f"{figure} tokens" in reply.message
    assert "mine" not in reply.message
    inside = {"error": {**error, "code": status}}
    assert played(kind, replies(200, inside, told), LONG) == played(
        kind, replies(status, inside, told), LONG
    )


def test_anthropic_shows_by_its_headers_that_the_whole_minute_was_left() -> None:
    short = a_call("m", "twenty thousand tokens, as if")
    for left, expected in ((20_000, OversizedRequest(limit=20_000)), (19_000, None)):
        headers = whole(INPUT, 20_000, left)
        body = {"type": "error", "error": by_anthropic(ANTHROPIC)}
        refusal = refusals.read(httpx2.Response(429, json=body, headers=headers), short)
        assert refusal is not None
        assert refusal.too_large == expected


THROTTLES: dict[str, tuple[Any, dict[str, str]]] = {
    "OpenAI": (
        limited(
            "Rate limit reached for gpt-4 in organization org-mine on tokens per min (TPM): Limit "
            "10000, Used 8554, Requested 3082. Please try again in 9.816s."
        ),
        {},
    ),
    "Groq": (
        limited(
            "Rate limit reached for model `m` on tokens per minute (TPM): Limit 5000, Used 5747, "
            "Requested ~4251. Please try again in 59.977s."
        ),
        {},
    ),
    "Anthropic": (by_anthropic(ANTHROPIC), whole(INPUT, 20_000, 3_000)),
    "Anthropic's output": (by_anthropic(OUTPUT), whole(INPUT, 8_000, 8_000)),
    "Azure": ({"code": "429", "message": AZURE}, whole(TOKENS, 500, 20)),
    "Cerebras": (CEREBRAS, {}),
    "Gemini": (GEMINI, {}),
    "requests": (
        {"message": "Rate limit reached for requests", "type": "requests"},
        whole(TOKENS, 500, 500),
    ),
    "quoted": ({"message": f"slow down; you wrote: {GROQ}"}, {}),
}


@both
@pytest.mark.parametrize("who", list(THROTTLES))
def test_a_throttle_stays_a_throttle(kind: str, who: str) -> None:
    error, headers = THROTTLES[who]
    reply = played(kind, replies(429, {"error": error}, {**headers, "retry-after": "7"}))
    assert reply == Throttled(after=7.0)


@both
def test_a_gateway_that_takes_no_more_bytes_ends_the_item_too(kind: str) -> None:
    reply = played(kind, replies(413, b"<html>413 Request Entity Too Large</html>"))
    assert isinstance(reply, Failed)
    assert reply.reason == "too_large"


@given(
    limit=st.one_of(st.integers(-1, 10**30).map(str), st.text(max_size=9)),
    used=st.text(max_size=40),
    status=st.sampled_from([429, 413]),
)
def test_figures_of_any_size_are_read_or_left(limit: str, used: str, status: int) -> None:
    message = f"Request too large for m{used}: Limit {limit}, Requested {limit}9"
    headers = {"x-ratelimit-limit-tokens": limit, "x-ratelimit-remaining-tokens": "9"}
    body = {"error": {"message": message, "type": "tokens", "details": [{"violations": [7]}]}}
    try:
        response = httpx2.Response(status, json=body, headers=headers)
    except ValueError:
        return
    refusal = refusals.read(response, a_call("m"))
    assert refusal is not None
    if refusal.too_large is not None and refusal.too_large.limit is not None:
        assert len(refusal.too_large.message()) < 200


PLAN = """\
[[limit]]
model = "*"
tpm = 40
too_large = {status}
"""


@pytest.mark.processes
@both
@pytest.mark.parametrize("status", [429, 413])
def test_the_sandbox_refuses_what_is_above_its_own_limit_and_serves_the_rest(
    kind: str, status: int, tmp_path: Any
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(status=status))

    def call(question: str) -> Call:
        return a_call(MODELS[kind], question, timeout=10.0, system="", prefix="")

    with a_sandbox(tmp_path, "--faults", str(plan)) as sandbox:
        address = f"{sandbox}/v1" if kind == "openai" else sandbox
        large = asked(kind, address, call("word " * 400))
        assert isinstance(large, Failed), large
        assert large.reason == "too_large"
        if (kind, status) != ("anthropic", 413):
            assert "the account's limit of 40 tokens" in large.message
        assert not isinstance(asked(kind, address, call("a word")), Failed | Throttled)
        assert isinstance(asked(kind, address, call("word " * 30)), Throttled)


@pytest.mark.processes
@both
@pytest.mark.parametrize("marker", ["too_large", "too_large status=413"])
def test_the_sandbox_plays_it_on_demand(kind: str, marker: str, tmp_path: Any) -> None:
    with a_sandbox(tmp_path) as sandbox:
        address = f"{sandbox}/v1" if kind == "openai" else sandbox
        long = "word " * 20_000
        reply = asked(kind, address, a_call(MODELS[kind], f"[[sandbox:{marker}]] {long}"))
    assert isinstance(reply, Failed)
    assert reply.reason == "too_large"
