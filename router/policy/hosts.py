"""What hosts that speak OpenAI's chat completions take, where they differ."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

OPENAI_URL = "https://api.openai.com/v1"
"""Stated, because the SDK would otherwise let ``OPENAI_BASE_URL`` send payloads elsewhere."""

LimitParameter = Literal["max_tokens", "max_completion_tokens"]
"""What a host calls the most tokens of an answer. One that ignored the limit would break a call's
upper bound, so the name is never guessed by trying."""

StructuredOutput = Literal["json_schema", "json_object", "none"]
"""What a host can be told of an answer's form: a schema that it enforces; that it be a JSON object,
the schema being in the prompt; or nothing but the schema in the prompt."""


@dataclass(frozen=True, slots=True)
class Host:
    """What a host takes."""

    limit_parameter: LimitParameter = "max_tokens"
    structured_output: StructuredOutput = "json_schema"


USUAL = Host()
"""OpenRouter, Together, Fireworks, Mistral (which refuses any other name with 422), Gemini's OpenAI
endpoint, and the servers vLLM, llama.cpp and Ollama; also where a host is not known."""

HOSTS = {
    # platform.openai.com/docs/api-reference/chat: reasoning models refuse max_tokens.
    "api.openai.com": Host(limit_parameter="max_completion_tokens"),
    "openai.azure.com": Host(limit_parameter="max_completion_tokens"),
    # console.groq.com/docs/structured-outputs: json_schema is refused by most of its models.
    "api.groq.com": Host("max_completion_tokens", "json_object"),
    # api-docs.deepseek.com/api/create-chat-completion: text or json_object.
    "api.deepseek.com": Host(structured_output="json_object"),
    # deepinfra.com/docs/advanced/json_mode
    "api.deepinfra.com": Host(structured_output="json_object"),
}
"""By host, or by the domain that ends its name."""


def host_of(base_url: str | None) -> Host:
    """What the host of ``base_url`` takes; without one it is OpenAI itself."""
    name = (urlsplit(base_url or OPENAI_URL).hostname or "").rstrip(".")
    known = (host for domain, host in HOSTS.items() if f".{name}".endswith(f".{domain}"))
    return next(known, USUAL)
