"""The tables of a policy beside deployments and task types: tiers, ceilings, hooks, retries."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from tierqueue.router.item import MOST_NAME
from tierqueue.router.policy.defaults import Money
from tierqueue.router.policy.prices import Duration, PositiveCount, Seconds, Table


class TierPolicy(Table):
    """How much of a tier runs at once; where nothing is stated, ``gpu`` has 384 and 128."""

    concurrency: PositiveCount = 32
    """Calls in flight over all workers of the tier: the value it starts with, until
    ``tierqueue concurrency set`` says another."""

    slice: PositiveCount = 64
    """Most items that one message to a worker names."""

    interactive_within: Seconds | None = None
    """Seconds within which somebody who waits is to have an answer. Where no worker of the tier is
    ready, or the answers so far and what is ahead say that it takes longer, an interactive item
    goes to the next tier that is expected to be in time: within every demand, ceiling and boundary,
    and never below its floor. Where nothing is stated, or no tier is in time, it waits."""


class CeilingRule(Table):
    """What may be spent. It is the value to start with: the ledger keeps it from then on, and
    ``tierqueue ceilings set`` changes it.
    """

    scope: Literal["job", "budget", "tier", "deployment", "provider", "purpose", "everything"]
    """Whose spending it bounds; ``purpose``: that of second items, ``exploration`` or ``shadow``.
    """

    name: str = Field(default="*", min_length=1, max_length=MOST_NAME)
    """Which one of the scope; ``*`` is each one by itself."""

    window: Literal["total", "hour", "day", "week", "month"] = "total"
    """How long spending counts towards it; ``total`` is for ever."""

    timezone: str = "UTC"
    """Where its days begin, like ``Europe/Berlin``."""

    limit: Money
    """The most that may be spent and held in a window."""

    @model_validator(mode="after")
    def _has_a_time_zone(self) -> Self:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"{self.timezone!r} is not a time zone: write it like Europe/Berlin"
            ) from None
        if self.scope == "everything" and self.name != "*":
            raise ValueError("a ceiling over everything has no name")
        return self


class WarningPolicy(Table):
    """When a ceiling warns before it is reached; once for each window and limit."""

    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.8, 0.95)
    """Shares of the limit at which it warns, once so much is spent; an empty array warns never."""

    burn_rate: float = Field(default=3.0, ge=0, le=1_000)
    """It warns where money is spent so many times as fast as would just last for the window; 0
    warns never."""


class HookPolicy(Table):
    """Who is told of warnings and of what a ceiling ended: a command or an address, not both."""

    command: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """A program and its arguments; it reads one JSON object on its standard input."""

    webhook: str | None = None
    """An ``http://`` or ``https://`` address without a login; the JSON object is posted to it."""

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.command and self.webhook is not None:
            raise ValueError("command and webhook are both stated: keep exactly one")
        if self.webhook is not None:
            url = urlsplit(self.webhook)
            if url.scheme not in ("http", "https") or not url.hostname:
                raise ValueError("webhook is not an http:// or https:// address")
            if url.username or url.password:
                raise ValueError("webhook holds a login: let a command post it instead")
        return self

    @property
    def stated(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self.command) or self.webhook is not None


class RetentionPolicy(Table):
    """How long after its end an item's payloads are kept; where nothing is stated, for ever.

    Receipts, attempts and the books stay in any case.
    """

    succeeded: Duration | None = None
    """Of items that succeeded or were cancelled."""

    dead: Duration | None = None
    """Of dead letters; without its payload none can be replayed."""

    raw_messages: Duration | None = None
    """How long after it came a message nobody could read is kept, with its bytes."""


class RetryPolicy(Table):
    """When work is tried again."""

    calls: PositiveCount = 4
    """Most calls over an item's life, over all tiers."""

    base: Seconds = 1.0
    """Seconds of the first backoff, which doubles from call to call; a wait is a random part
    of it."""

    cap: Seconds = 60.0
    """Most seconds of backoff."""

    poison: PositiveCount = 3
    """Claims lost with their workers at which an item dies as ``poison``."""

    unknown: Literal["dead_letter", "retry_outage", "retry"] = "retry_outage"
    """What becomes of an item whose paid call may have been billed and brought no answer.

    ``retry_outage``: another call is paid for where the provider lost the reply, and none where we
    ended the call (its time was up while others were served, its worker was lost or drained).
    ``retry``: in each case. ``dead_letter``: in none."""
