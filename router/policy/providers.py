"""Providers' wires: what each takes and gives, by a deployment's ``profile`` or address."""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from tierqueue.router.policy.policy_errors import there_is_no

OPENAI_URL = "https://api.openai.com/v1"
"""Stated, because the SDK would otherwise let ``OPENAI_BASE_URL`` send payloads elsewhere."""

ANTHROPIC_URL = "https://api.anthropic.com"
"""Stated, because the SDK would otherwise let ``ANTHROPIC_BASE_URL`` send payloads elsewhere."""

LimitParameter = Literal["max_tokens", "max_completion_tokens"]
"""What a host calls the most tokens of an answer. One that ignored the limit would break a call's
upper bound, so the name is never guessed by trying."""

StructuredOutput = Literal["json_schema", "json_object", "none"]
"""What a host can be told of an answer's form: a schema that it enforces; that it be a JSON object,
the schema being in the prompt; or nothing but the schema in the prompt."""

LogprobsParameter = Literal["flag", "number"]
"""How log-probabilities are asked for: ``logprobs = true`` with the number of alternatives in
``top_logprobs``, or that number in ``logprobs`` itself."""

PromptCache = Literal["none", "key", "marks"]
"""What is said of a shared prefix: nothing, as to providers that keep one by themselves or not at
all; its ``prompt_cache_key``; or a ``cache_control`` mark at its end."""


BatchForm = Literal["openai", "azure", "mistral", "together", "anthropic"]
"""How a host is asked for batches: each name is that of whose form it is."""

StreamUsage = Literal["option", "always", "none"]
"""Whether an answer that is streamed tells what it cost: where ``stream_options`` ask for it,
always, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One provider, or one kind of server.

    ``sources`` are the provider's own pages that say so. ``base_url`` is ``None`` where every
    customer has an address of their own. ``key_env`` is the variable that its documents name;
    ``None`` where a server may have no key. ``domains`` end the names of its hosts.
    ``top_logprobs`` is how many alternatives every one of its models shows; ``most_logprobs`` how
    many some do. ``cached_tokens`` is where its ``usage`` counts tokens that its cache served.
    ``batch``: how it is asked for batches, ``None`` where it has none in any of these forms;
    ``batch_price``: what a request costs there, as a share of its live price, as its pages say.
    ``flex``: it has a service tier ``flex`` at that price.
    """

    title: str
    sources: tuple[str, ...]
    engine: Literal["openai", "anthropic"] = "openai"
    base_url: str | None = None
    vendor: bool = True
    key_env: str | None = None
    domains: tuple[str, ...] = ()
    limit_parameter: LimitParameter = "max_tokens"
    structured_output: StructuredOutput = "json_schema"
    top_logprobs: int = 0
    most_logprobs: int = 0
    logprobs_parameter: LogprobsParameter = "flag"
    prompt_cache: PromptCache = "none"
    cached_tokens: str | None = "prompt_tokens_details.cached_tokens"
    stream_usage: StreamUsage = "option"
    batch: BatchForm | None = None
    batch_price: str = ""
    flex: bool = False

    def wire(self) -> dict[str, Any]:
        """The keys of a deployment that follow from the host alone, stated or not."""
        return {
            "limit_parameter": self.limit_parameter,
            "structured_output": self.structured_output,
            "logprobs_parameter": self.logprobs_parameter,
            "prompt_cache": self.prompt_cache,
            "stream_usage": self.stream_usage,
        }

    def serves(self, base_url: str) -> bool:
        """Whether a host of the provider's stands behind the address."""
        name = (urlsplit(base_url).hostname or "").rstrip(".")
        return any(f".{name}".endswith(f".{domain}") for domain in self.domains)


def filled_in(stated: dict[str, Any], profiles: dict[str, Profile]) -> dict[str, Any]:
    """A deployment's keys as ``stated``, and beneath them what its profile gives, or without one
    what the host of its address is known to take.

    Who sees the payload and which variable holds the key follow from a profile only where the call
    goes to the provider itself. Raises ``ValueError`` for an unknown profile, and where it speaks
    otherwise than the engine that is stated.
    """
    name, url = stated.get("profile"), stated.get("base_url")
    if name is None:
        return _of_host(stated, profiles)
    profile = profiles.get(name) if isinstance(name, str) else None
    if profile is None:
        raise ValueError(f"profile: {there_is_no('profile', str(name), profiles)}")
    if (engine := stated.get("engine", profile.engine)) != profile.engine:
        raise ValueError(
            f"engine = {engine!r} does not speak as profile {name!r} does: leave engine out"
        )
    if url is None and profile.base_url is None:
        raise ValueError(f"base_url is missing: profile {name!r} has no address of its own")
    given: dict[str, Any] = {"engine": profile.engine, "top_logprobs": profile.top_logprobs}
    given |= profile.wire()
    if url is None or (isinstance(url, str) and profile.serves(url)):
        given |= {"boundary": f"vendor:{name}"} if profile.vendor else {}
        given |= {"key_env": profile.key_env, "base_url": profile.base_url}
    return {**{key: value for key, value in given.items() if value is not None}, **stated}


def with_batch_api(stated: dict[str, Any], profiles: dict[str, Profile]) -> dict[str, Any]:
    """A deployment's keys with how its batches are asked for, where it has any and does not say.

    Raises ``ValueError`` where the provider has none in a form that is known here.
    """
    batch = stated.get("batch")
    if not isinstance(batch, dict) or "api" in batch:
        return stated
    own: BatchForm = "anthropic" if stated.get("engine") == "anthropic" else "openai"
    url = stated.get("base_url") or (OPENAI_URL if own == "openai" else ANTHROPIC_URL)
    try:
        host = next((one for one in profiles.values() if one.serves(url)), None)
    except (ValueError, AttributeError):  # no address at all, which is refused elsewhere
        host = None
    named = profiles.get(str(stated.get("profile"))) or host
    for provider in (host, named):
        if provider is not None and provider.vendor and provider.batch is None:
            raise ValueError(
                f"batch: {provider.title} has no batches in a form that is known here: leave batch"
                " out, or state batch.api"
            )
    api = own if named is None else named.batch or own
    return {**stated, "batch": {"api": api, **batch}}


def _of_host(stated: dict[str, Any], profiles: dict[str, Profile]) -> dict[str, Any]:
    if stated.get("engine") == "anthropic":
        return {"prompt_cache": profiles["anthropic"].prompt_cache, **stated}
    if stated.get("engine") != "openai":
        return stated
    url = stated.get("base_url") or OPENAI_URL
    try:
        known = [profile for profile in profiles.values() if profile.serves(url)]
    except (ValueError, AttributeError):  # no address at all, which is refused elsewhere
        return stated
    return {**known[0].wire(), **stated} if known else stated


def documented(engine: str, base_url: str | None, profiles: dict[str, Profile]) -> str | None:
    """Whose documents say how models count images, where no profile is stated; ``None``: nobody's
    that are known here.
    """
    if engine == "anthropic":
        return "anthropic"
    return "openai" if profiles["openai"].serves(base_url or OPENAI_URL) else None
