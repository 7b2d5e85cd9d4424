"""The codes that vendors and servers are known to use for their errors."""

NO_QUOTA = frozenset(
    {
        "arrearage",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "budget_exceeded",
        "exceeded_current_quota_error",
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

FLEX_FULL = frozenset({498, 503})
"""Statuses beside 429 with which a flex tier says that it has no capacity."""

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
