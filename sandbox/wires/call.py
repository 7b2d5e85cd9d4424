"""The call, whichever wire it came by, and its usage: tokens are counted by a rule of the sandbox.

The rule is ``ceil(UTF-8 bytes / 4)`` over the prompt and, where there is one, the schema: simple
enough that anyone can repeat it, and named in every log line.
"""

from dataclasses import dataclass
from typing import Any, Literal

TOKEN_RULE = "ceil(utf8_bytes/4)"
BYTES_PER_TOKEN = 4

Api = Literal["openai", "anthropic"]
Finish = Literal["stop", "length"]
Json = dict[str, Any]


def tokens_of(text: str) -> int:
    """The tokens of ``text`` by ``TOKEN_RULE``."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class CacheMark:
    """A prefix that a provider may keep: its first ``pieces`` texts, for ``ttl`` seconds."""

    pieces: int
    ttl: int


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    ``pieces`` are the texts of system and messages in order; ``subject`` is the last user text,
    whose words fill the answer. ``max_output`` is in tokens. ``uses`` are what a host may not take,
    by the names of ``sandbox.wires.hosts``. ``logprobs``: how many alternatives of each token are
    asked for; ``None`` where no log-probabilities are. ``streamed``: the answer comes as a stream
    of events, with ``usage_streamed`` in the last of them. ``tier``: the service tier asked
    for. ``image_tokens``: what its images count as.
    """

    api: Api
    model: str
    pieces: tuple[str, ...]
    subject: str
    schema: Json | None
    wants_json: bool
    max_output: int
    marks: tuple[CacheMark, ...] = ()
    uses: frozenset[str] = frozenset()
    logprobs: int | None = None
    streamed: bool = False
    usage_streamed: bool = False
    tier: str | None = None
    image_tokens: int = 0

    @property
    def prompt(self) -> str:
        """All texts, joined by an empty line: what is hashed, counted and searched for markers."""
        return "\n\n".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in classes that do not overlap, save that output includes reasoning.

    ``input`` is uncached input; ``written`` and ``written_1h`` went into the cache for five
    minutes and for an hour.
    """

    input: int = 0
    cached: int = 0
    written: int = 0
    written_1h: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def all_input(self) -> int:
        """Every input token, cached or not."""
        return self.input + self.cached + self.written + self.written_1h


@dataclass(frozen=True, slots=True)
class Served:
    """A served call: the text, why it ended, the usage billed, and which service tier served it."""

    text: str
    finish: Finish
    usage: Usage
    tier: str = "default"


class Refused(Exception):
    """The call is answered with an error.

    ``after`` is the wait in seconds it advises, ``code`` the error's code, where it has one of its
    own, and ``param`` the parameter that it is about. ``inside``: the reply's status is 200, and
    the error names its own, as gateways do.
    ``too_large``: the limit of tokens a minute and what this one request asks for above it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        after: float | None = None,
        fault: str | None = None,
        code: str | None = None,
        inside: bool = False,
        too_large: tuple[int, int] | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.inside = inside
        self.too_large = too_large
        self.status = status
        self.message = message
        self.after = after
        self.fault = fault
