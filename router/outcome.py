"""The closed union of what a call can come back as, and the usage it reports.

Every engine answers with exactly one of these and raises nothing; anything else is loud.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call as the provider counted them.

    The input classes are disjoint: ``input_tokens`` excludes cache reads and writes.
    ``reasoning_tokens`` is the part of ``output_tokens`` spent on reasoning.
    ``engine_seconds`` is the engine time a house call took, shared fairly among calls in flight.
    ``estimated``: an endpoint of the house counts nothing, and these tokens are our own guess.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    engine_seconds: float = 0.0
    service_tier: str | None = None
    estimated: bool = False

    @property
    def total_input(self) -> int:
        """All input tokens, whatever their class."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
        )


INPUT_CLASSES = (
    *("input_tokens", "cache_read_tokens"),
    *("cache_write_5m_tokens", "cache_write_1h_tokens"),
)
"""The fields of ``Usage`` that are input: ``total_input`` is their sum."""

TOKEN_CLASSES = (*INPUT_CLASSES, "output_tokens", "reasoning_tokens")
"""The fields of ``Usage`` that count tokens, as an attempt's ``usage`` names them."""


class Token(NamedTuple):
    """One token of an answer, and what the model might have written in its place.

    ``text`` in UTF-8 bytes; ``others`` are the alternatives that were shown, without itself;
    ``hidden`` is the most that any one which was not shown can have.
    """

    text: bytes
    probability: float
    others: tuple[tuple[bytes, float], ...] = ()
    hidden: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The engine answered; whether the answer is accepted is for validation to say.

    ``finish`` is ``stop``; ``length`` (cut off at a limit); ``repetition`` (the server ended one);
    ``filtered`` (withheld by the provider); ``too_long`` (the context window does not hold the
    request, nothing was done); or ``other`` (for a reason nobody knows). ``simulated`` is true when
    the answer says of itself that it comes from a simulation. ``other_model``: it is another
    model's than was asked for, which the item's demands allow. ``tokens`` are the answer's, where
    they were given; ``confidence`` is how sure the model was by them, 0 to 1; ``None`` is not
    known. ``without``: parameters of the request that the server refuses, such as ``logprobs``;
    ``redacted``: how many things of the request it saw under a pseudonym.
    """

    text: str
    usage: Usage
    model_served: str
    finish: str = "stop"
    seconds: float = 0.0
    simulated: bool = False
    other_model: bool = False
    tokens: tuple[Token, ...] = ()
    without: tuple[str, ...] = ()
    redacted: int = 0
    confidence: float | None = None


Dimension = Literal["requests", "tokens", "input_tokens", "output_tokens"]
"""What is bounded a minute; ``tokens`` are input and output together."""


class PerMinute(NamedTuple):
    """A number a minute for each dimension; ``None``: none is known."""

    requests: int | None = None
    tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


DIMENSIONS: tuple[Dimension, ...] = ("requests", "tokens", "input_tokens", "output_tokens")
"""In the order of ``PerMinute``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled:
    """The provider said "not now"; ``after`` is its Retry-After in seconds, where it gave one.

    Not an attempt: nothing was done and nothing is charged. ``over``: which limit it is of, where
    that is known.
    """

    after: float | None = None
    over: Dimension | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexRefused:
    """The provider's flex tier did not take the call: nothing was done and nothing is charged.

    Not an attempt, and nothing of its other tiers. ``after`` is its Retry-After in seconds, where
    it gave one. ``lasting``: it does not take this model at all.
    """

    after: float | None = None
    lasting: bool = False


Trouble = Literal[
    "outage",
    "reply_lost",
    "unreachable",
    "engine_dead",
    "engine_died",
    "unauthorized",
    "quota",
    "not_found",
    "no_key",
    "throttled",
    "undeclared_simulation",
    "unreadable_bill",
    "wrong_model",
]
"""Why a deployment cannot serve now.

``outage``: it answers with errors of its own, or not at all. ``reply_lost``: it takes requests and
no whole reply comes back, so that each may be billed. ``unreachable``: no connection.
``engine_dead``: an engine of the house does not run; ``engine_died``: it went down during the
call. ``unauthorized``: the key is refused. ``quota``: the account has no money or quota left.
``not_found``: the model or the address is not there. ``no_key``: no worker has a key for it.
``throttled``: too many calls. ``undeclared_simulation``: it is a simulation, and the policy does
not say so. ``unreadable_bill``: it answers, and its bills cannot be true. ``wrong_model``: another
model answers than the one asked for.
"""

NEEDS_SOMEBODY: frozenset[Trouble] = frozenset(
    {
        "unauthorized",
        "quota",
        "not_found",
        "no_key",
        "undeclared_simulation",
        "unreadable_bill",
        "wrong_model",
    }
)
"""Troubles that last until a person mends something; the others pass by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """The deployment cannot serve anybody now, and nothing was billed beyond ``usage``.

    ``after`` is its Retry-After in seconds, where it gave one. Not an attempt of the item, unless
    ``condition.its_own`` finds that the item itself brings it about. ``message`` holds no prompt,
    answer or secret. ``overloaded``: it says that it has too much to do.
    """

    kind: Trouble
    message: str
    after: float | None = None
    overloaded: bool = field(default=False, compare=False)
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The call did not work and was certainly not billed, or is billed exactly by ``usage``.

    ``transient`` failures (a time limit, a conflict) may be tried again, permanent ones (bad
    request) never. ``message`` holds no prompt, answer or secret; ``reason`` is the dead letter's,
    should a permanent failure end the item.
    """

    kind: str
    message: str
    transient: bool
    reason: str = "refused"
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An answer came and validation refuses it; it is charged all the same.

    ``reason`` is the dead letter's, should no tier above be left to try; ``confidence`` as in
    ``Completed``. ``answer`` is what was refused: an output, or the text where it has no form.
    """

    reasons: tuple[str, ...]
    usage: Usage
    model_served: str
    seconds: float = 0.0
    simulated: bool = False
    reason: str = "rejected"
    confidence: float | None = None
    answer: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The call may have been billed and its reply is lost; its hold is booked as spent.

    ``kind`` says how, where the call was made: one of ``LOST_ON_THE_WAY``, ``timeout``,
    ``unreadable_bill`` (an answer came, and its bill cannot be true), or what ended it on our side.
    """

    kind: str
    message: str


LOST_ON_THE_WAY = frozenset({"gateway", "connection_lost", "broken_off", "garbage"})
"""How the provider's side loses a reply: a gateway answers in its place, the connection is cut, the
answer stops half-way, or what came is no reply at all."""


ENGINE_TIME = "engine_time"
"""How a call is interrupted that has had all of the engine time that is held for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """We ended the call ourselves: on an engine of the house (drain, cancel, lost lease), or before
    a request had left (it was too late to send), or because it took more of an engine of the house
    than is held for it (``ENGINE_TIME``).

    Nothing is owed to a vendor; ``usage.engine_seconds`` is what the engine spent on it.
    """

    kind: str
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A completed call whose answer validation accepts.

    ``output`` is plain JSON; ``prompt_version`` says which version of its task type's prompt was
    answered.
    """

    output: Any
    completed: Completed
    prompt_version: str


Reply = Completed | Throttled | FlexRefused | Unavailable | Failed | Unknown | Interrupted
"""What an engine may answer."""

Outcome = (
    Accepted | Rejected | Throttled | FlexRefused | Unavailable | Failed | Unknown | Interrupted
)
"""What a claimed attempt may end as, after validation."""
