"""A deployment: one model behind one engine, at one data boundary, at one price."""

import re
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, model_validator

from tierqueue.router.images.tokens import ImageRule, rule_of
from tierqueue.router.item import Tier
from tierqueue.router.policy import engine_keys
from tierqueue.router.policy.lanes import BatchTerms, Flex, Lane
from tierqueue.router.policy.prices import (
    Flag,
    GenaiPrice,
    HourPrice,
    Name,
    PositiveCount,
    Prices,
    Table,
)
from tierqueue.router.policy.profiles import PROFILES
from tierqueue.router.policy.providers import (
    LimitParameter,
    LogprobsParameter,
    PromptCache,
    StreamUsage,
    StructuredOutput,
    documented,
    filled_in,
    with_batch_api,
)
from tierqueue.router.redaction.rules import Redaction


class Limits(Table):
    """Limits over all workers: a provider's, or what a budget is allowed; none where not stated."""

    requests_per_minute: PositiveCount | None = None
    """Most calls begun in a minute, over all workers."""

    tokens_per_minute: PositiveCount | None = None
    """Most tokens, input and output together, in a minute, over all workers. A single call may
    reserve no more than a part of it: a tenth, or the context window up to a half."""

    input_tokens_per_minute: PositiveCount | None = None
    """Most tokens of input in a minute, over all workers, where the provider counts them apart."""

    output_tokens_per_minute: PositiveCount | None = None
    """Most tokens of output in a minute, over all workers, where the provider counts them apart."""

    requests_per_day: PositiveCount | None = None
    """Most calls begun in any 24 hours, over all workers."""

    in_flight: PositiveCount | None = None
    """Most calls at once, over all workers."""


def whose(scope: str) -> tuple[str, str]:
    """Whose limits stand under this name: ``deployment``, ``account`` or ``budget``, and which."""
    kind, shared, name = scope.partition(":")
    return (kind, name) if shared else ("deployment", scope)


_ADDED = (
    *("tasks", "top_logprobs", "temperature", "batch", "served_model"),
    *("connect_timeout", "first_token_timeout", "redact", "flex", "vision", "image_tokens"),
    *("candidate", "adapters", "account"),
)
"""Keys of later releases, newest last."""

_ADDED_LIMITS = ("input_tokens_per_minute", "output_tokens_per_minute", "requests_per_day")
"""The same of ``limits``."""

_SPELLING = ("profile", "logprobs_parameter", "prompt_cache", "stream_usage")
"""Keys that change how a request is spelt, and nothing that a route was chosen or held by."""


def token_burst(tokens_per_minute: int, context_window: int) -> int:
    """The most tokens the limiter can ever grant at once: a call above it would wait for ever."""
    return max(tokens_per_minute // 10, min(context_window, tokens_per_minute // 2))


def _only(prices: Prices) -> dict[str, Any]:
    """What a deployment has in the place of its own prices and lanes."""
    return {"prices": prices, "genai_price": None, "batch": None, "flex": None}


class Deployment(Table):
    """One way to have work done: a model behind an engine, at a data boundary, at a price.

    One of ``prices``, ``genai_price`` and ``gpu_hour`` states the price; without a price nothing is
    called. Its name has letters, digits, ``.``, ``_`` and ``-``.
    """

    name: str
    """Its table's name; filled in by ``parse_policy``."""

    policy: str
    """The policy's digest; filled in by ``parse_policy``."""

    tier: Tier
    """The tier whose workers call it."""

    profile: str | None = None
    """The provider, by its name in the list of profiles: what it takes and gives holds where
    nothing is stated here, and so do its address, the variable of its key and its boundary."""

    engine: Literal["vllm", "openai", "anthropic"]
    """How it is called: vLLM in the worker itself, or an API that speaks OpenAI's chat completions
    or Anthropic's messages."""

    model: str = Field(min_length=1)
    """What the engine or the provider calls the model; for vLLM also a folder with its files,
    looked for from the policy's folder first."""

    candidate: Flag = False
    """It serves nobody: it is asked in the shadow of task types that name it, and nowhere else."""

    tasks: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """The task types that it does, for a model made for some alone; otherwise all."""

    boundary: str
    """Who sees the payload: ``house`` or ``vendor:<name>``. Confidential and regulated data goes to
    ``house`` only."""

    context_window: PositiveCount
    """Most tokens of one call, input and output together; of a ``vllm`` engine, where nothing is
    stated, its ``max_model_len`` among the ``engine_options``. Its worker refuses more than the
    engine holds."""

    served_as: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Further names, or patterns of them with ``*``, under which the same model answers. An answer
    that names any other model is ``wrong_model``."""

    served_model: Literal["exact"] | None = None
    """``exact``: an answer of another model is refused for every item; where nothing is stated, for
    those alone whose wrong answer hurts somebody."""

    base_url: str | None = None
    """The API's address, ``http://`` or ``https://``, without a login; where nothing is stated, the
    vendor's own."""

    key_env: str | None = Field(default=None, min_length=1)
    """The environment variable that holds the key. Vendors' APIs need one; vLLM has none, and a
    server of the house may have none."""

    simulated: Flag = False
    """Its answers are made up, and say so in every receipt. Needs ``allow_simulated``."""

    tokenizer: str | None = Field(default=None, min_length=1)
    """The path of the model's ``tokenizer.json``, with which input is counted; a relative one
    is from the policy's folder. Without it every byte counts as a token."""

    timeout: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds that a call may take. Of a deployment with ``gpu_hour`` the hold is of so many at the
    most."""

    connect_timeout: float = Field(default=10.0, gt=0, le=600)
    """Seconds that a connection may take, for engines behind an API: a request that waits longer
    was not sent, and costs nothing."""

    first_token_timeout: float | None = Field(default=None, gt=0, le=86_400)
    """Seconds until the first token of an answer, for engines behind an API. Where it is stated
    answers are asked for as streams, and one that has said nothing by then is cut off; a model that
    reasons in silence says its first token late."""

    stream_usage: StreamUsage = "option"
    """Whether a streamed answer tells what it cost; where nothing is stated what the host is known
    to do."""

    limit_parameter: LimitParameter = "max_tokens"
    """What the API calls the most tokens of an answer; for ``openai`` engines, and where nothing is
    stated what the host is known to take."""

    structured_output: StructuredOutput = "json_schema"
    """What the API can be told of an answer's form; where nothing is stated, for ``openai`` engines
    what the host is known to take. vLLM enforces a schema always."""

    top_logprobs: Annotated[int, Field(strict=True, ge=0, le=20)] = 0
    """How many tokens the API shows in the place of each, with their log-probabilities, by which
    the confidence in an answer is measured; 0: it gives none, or the model refuses them, as models
    that reason do. vLLM in the worker gives 20; for ``openai`` engines."""

    logprobs_parameter: LogprobsParameter = "flag"
    """How the API is asked for those tokens: ``logprobs = true`` and their number in
    ``top_logprobs``, or their number in ``logprobs``; where nothing is stated what the host is
    known to take."""

    prompt_cache: PromptCache = "none"
    """What is said of the prefix that items share, so that the API's prompt cache serves it: a
    ``prompt_cache_key``, or for ``anthropic`` engines ``cache_control`` marks; where nothing is
    stated what the host is known to take."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """How freely the model answers: times its usual spread of words, 0 for the likeliest always.
    Where nothing is stated vLLM in the worker answers at 0, an API as it does by itself; models
    that reason refuse it."""

    system_message: Flag = True
    """Without it the instruction stands in front of the user's message, for models that have no
    system role."""

    reasoning_tokens: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    """Output tokens that a call may use beyond its answer's own limit, for a model that thinks;
    sent, held and limited with it."""

    engine_options: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of vLLM's engine by name, as vLLM spells them (``tensor_parallel_size``,
    ``limit_mm_per_prompt = { image = 0 }``), whose values vLLM checks; for ``vllm`` engines."""

    adapters: dict[Name, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """LoRA adapters by task type, each a folder or a Hugging Face id: its items are answered by the
    model with that adapter, those of the others by the model alone; for ``vllm`` engines."""

    vision: Flag = False
    """Whether the model sees images: without it no item with an image goes there. Where nothing is
    redacted: an image cannot be."""

    image_tokens: PositiveCount | None = None
    """Most tokens that one image counts as; where nothing is stated as the documents of OpenAI and
    Anthropic say of the model."""

    prices: Prices | None = None
    """The price list, stated here."""

    genai_price: GenaiPrice | None = None
    """Where the price list genai-prices has the model."""

    gpu_hour: HourPrice | None = None
    """What an hour of the engine costs; items share it by engine time. Needs ``boundary =
    "house"``."""

    limits: Limits = Limits()
    """What the provider allows."""

    account: str | None = Field(default=None, min_length=1)
    """The provider's account whose limits its calls count in beside its own, by its name in
    ``accounts``."""

    batch: BatchTerms | None = None
    """Items that have time go in batches at this price; for engines behind an API."""

    flex: Flex | None = None
    """Items that have time are asked by the provider's service tier ``flex`` at this price; for
    ``openai`` engines whose provider has it."""

    redact: Redaction | None = None
    """What is sent under a pseudonym and put back in the answer; where nothing is stated, as
    ``redaction`` says of its boundary."""

    def __hash__(self) -> int:
        return hash((self.policy, self.name))

    def __eq__(self, other: object) -> bool:
        # By fields alone: what is worked out of them may be this very deployment again.
        if not isinstance(other, Deployment):
            return NotImplemented
        fields = Deployment.model_fields
        return self is other or all(getattr(self, name) == getattr(other, name) for name in fields)

    @cached_property
    def terms(self) -> str:
        """Names everything that is said of it, whatever the rest of the policy says."""
        # Unstated, what an older release does not know changes nothing for its workers.
        unstated = {name for name in _ADDED if name not in self.model_fields_set}
        said = self.model_dump(exclude={"policy", *unstated, *_SPELLING}, mode="python")
        for name in _ADDED_LIMITS:
            if said["limits"][name] is None:
                del said["limits"][name]
        if (batch := said.get("batch")) is not None:
            del batch["api"]
            if batch["model"] is None:
                del batch["model"]
        return sha256(repr(sorted(said.items())).encode()).hexdigest()[:12]

    @cached_property
    def redaction(self) -> str | None:
        """Names the rules by which its requests are redacted; ``None``: there are none."""
        return None if self.redact is None else sha256(repr(self.redact).encode()).hexdigest()[:12]

    @cached_property
    def batched(self) -> "Deployment":
        """The same with the name that its model has in batches."""
        if self.batch is None or self.batch.model is None:
            return self
        names = {"model": self.batch.model, "served_as": (*self.served_as, self.model)}
        return self.model_copy(update=names)

    @cached_property
    def in_batch(self) -> "Deployment":
        """The same at the price of its batches; itself where it has none."""
        if self.batch is None:
            return self
        return self.batched.model_copy(update=_only(self.batch.prices))

    @cached_property
    def in_flex(self) -> "Deployment":
        """The same at the price of its flex tier; itself where it has none."""
        return self if self.flex is None else self.model_copy(update=_only(self.flex.prices))

    @property
    def longest_call(self) -> float:
        """Seconds that a call by any of its lanes may take."""
        return self.timeout if self.flex is None else max(self.timeout, self.flex.timeout)

    def by(self, lane: Lane) -> "Deployment | None":
        """The same at the price of a lane; ``None`` where it does not have that."""
        if lane is Lane.LIVE:
            return self
        if lane is Lane.FLEX:
            return None if self.flex is None else self.in_flex
        return None if self.batch is None else self.in_batch

    @cached_property
    def image_rule(self) -> ImageRule | None:
        """How it counts images; ``None``: it takes none."""
        whose = self.profile or documented(self.engine, self.base_url, PROFILES)
        return rule_of(self.image_tokens, whose, self.model) if self.vision else None

    @property
    def metered(self) -> bool:
        """Whether a vendor counts the calls, so that a lost reply may be billed."""
        return self.boundary != "house"

    @property
    def tells_confidence(self) -> bool:
        """Whether the confidence in its answers can be measured."""
        return self.engine == "vllm" or self.top_logprobs > 0

    @property
    def provider(self) -> str:
        """``house`` or the vendor's name."""
        return self.boundary.removeprefix("vendor:")

    @property
    def token_burst(self) -> int | None:
        """The most tokens one call may reserve at the limiter; ``None`` where nothing limits."""
        per_minute = self.limits.tokens_per_minute
        return None if per_minute is None else token_burst(per_minute, self.context_window)

    @model_validator(mode="before")
    @classmethod
    def _as_its_provider(cls, stated: Any) -> Any:
        if not isinstance(stated, dict):
            return stated
        known = filled_in(engine_keys.with_own_window(stated), PROFILES)
        return with_batch_api(known, PROFILES)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise ValueError("a deployment's name has letters, digits, '.', '_' and '-' only")
        if not re.fullmatch(r"house|vendor:[a-z0-9][a-z0-9._-]*", self.boundary):
            raise ValueError(f'boundary {self.boundary!r} is not "house" or "vendor:<name>"')
        engine_keys.check(dict(self), metered=self.metered, counted=self.image_rule is not None)
        ways = ("prices", "genai_price", "gpu_hour")
        stated = [key for key in ways if getattr(self, key) is not None]
        if len(stated) > 1:
            raise ValueError(f"{' and '.join(stated)} are both stated: keep exactly one")
        if self.gpu_hour is not None and self.metered:
            raise ValueError('gpu_hour prices our own engines: it needs boundary = "house"')
        if self.base_url is not None:
            url = urlsplit(self.base_url)
            if url.scheme not in ("http", "https") or not url.hostname:
                raise ValueError("base_url is not an http:// or https:// address")
            if url.username or url.password:
                raise ValueError("base_url holds a login: keys belong in the variable of key_env")
        return self
