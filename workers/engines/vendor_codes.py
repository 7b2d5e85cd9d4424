"""The codes and phrases that vendors and servers are known to use for their errors."""

import re

NO_QUOTA = frozenset(
    {
        "arrearage",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_quota",
    }
)
"""Codes, whatever the status, of an account without money or quota: no waiting cures it."""

UNAUTHORIZED = frozenset(
    {"account_deactivated", "api_key_invalid", "invalid_api_key", "organization_restricted"}
)
"""Codes, whatever the status, of a key or an account that may not call."""

NO_MODEL = frozenset(
    {"model_decommissioned", "model_not_available", "model_not_found", "unknown_model"}
)
"""Codes, whatever the status, of a model that is not there, or not any more."""

NO_ADDRESS = frozenset({405, 410, 421, 426})
"""Statuses, besides redirects and 404, of an address where nobody takes calls, or not any more."""

STATUS_OF = {
    "invalid_request_error": 400,
    "bad_request": 400,
    "invalid_argument": 400,
    "content_filter": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthenticated": 401,
    "unauthorized": 401,
    "billing_error": 402,
    "payment_required": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "resource_exhausted": 429,
    "resourceexhausted": 429,
    "too_many_requests": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "bad_gateway": 502,
    "service_unavailable": 503,
    "unavailable": 503,
    "gateway_timeout": 504,
    "timeout_error": 504,
    "deadline_exceeded": 504,
    "overloaded": 529,
    "overloaded_error": 529,
}
"""The status that vendors send with each of these codes, for errors that came with a 200."""

TOO_LONG = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "exceed_context_size_error",
        "model_context_window_exceeded",
        "model_max_prompt_tokens_exceeded",
    }
)
"""Codes for an item that the model's context window does not hold."""

SAYS_TOO_LONG = re.compile(
    r"maximum context length"
    r"|model'?s context length is only"
    r"|prompt is too long"
    r"|prompt too long"
    r"|input is too long"
    r"|maximum prompt length is \d"
    r"|exceeds? the (?:model'?s )?(?:available )?context (?:window|size|length)"
    r"|context (?:length|window) (?:exceeded|exceeds limit)"
    r"|greater than the context length"
    r"|longer than the model'?s context"
    r"|reduce the length of the (?:messages|prompt|input)"
    r"|input token count .{0,60}exceeds"
    r"|token count of \d+ exceeds the limit"
    r"|exceeded model token limit"
    r"|range of input length should be"
    r"|too large for model with \d"
    r"|tokens \+ `?max_new_tokens`? must be"
)
"""What Anthropic, OpenAI, Gemini, Mistral, Groq, xAI, vLLM, TGI, llama.cpp, LM Studio, Ollama and
others write, in lower case, where no code says it."""

WITHHELD = frozenset(
    {
        "content_filter",
        "content_filtered",
        "content_policy_violation",
        "data_inspection_failed",
        "datainspectionfailed",
        "invalid_prompt",
        "moderation_blocked",
        "prohibited_content",
        "responsibleaipolicyviolation",
    }
)
"""Codes for a prompt or an answer that the provider's filter stopped."""

SAYS_WITHHELD = re.compile(r"content filtering policy|content management policy")

SAYS_NO_QUOTA = re.compile(
    r"credit balance is too low|insufficient (?:account )?balance|exceeded your current quota"
    r"|reached your specified api usage limits|please enable billing|account .{1,99} is suspended"
)
"""What Anthropic, DeepSeek, Gemini, Fireworks and others write of an account without money, or at
the limit its owner set: Anthropic and Gemini with a 400, Fireworks with a 412."""

SAYS_UNAUTHORIZED = re.compile(
    r"api key (?:not valid|not found|expired)|invalid api key|incorrect api key"
    r"|user location is not supported|organization has been (?:disabled|restricted)"
)
"""What Gemini and others write of a key that may not call, Gemini with a 400."""

SAYS_NO_MODEL = re.compile(
    r"is not a valid model|invalid model[: ]|unknown model|model .{0,99}(?:not exist|not found)"
    r"|model .{0,99} has been (?:decommissioned|retired)"
)
"""What OpenRouter, Mistral and others write of a model that is not there, with a 400."""

MINIMAX = {
    1001: 504,
    1002: 429,
    1004: 401,
    1008: 402,
    1013: 500,
    1024: 500,
    1026: 400,
    1027: 400,
    1033: 500,
    1039: 429,
    1041: 429,
    2013: 400,
    2049: 401,
}
"""The statuses behind MiniMax's own codes, which come inside a 200; all others are its faults."""

MINIMAX_WITHHELD = frozenset({1026, 1027})
