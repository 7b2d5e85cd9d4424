"""Lanes: the ways by which a deployment is asked; the cheaper ones are for what has time."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tierqueue.router.policy.duration import HOUR_US, MINUTE_US, SECOND_US
from tierqueue.router.policy.prices import Duration, PositiveCount, Prices, Table
from tierqueue.router.policy.providers import BatchForm

LEAST_US = 2 * HOUR_US
"""Microseconds an item must have left: half of all batches are done in minutes, some in hours."""

PROMOTED_US = HOUR_US * 3 // 4
"""Microseconds before its deadline at which an item that has no answer yet goes live."""

GIVEN_UP_US = HOUR_US // 6
"""Microseconds before its deadline at which it does so even where the provider has not confirmed
that the batch is cancelled: what the batch may cost is then booked, until it is known."""


class Lane(StrEnum):
    """How a call is made."""

    LIVE = "live"
    """By itself, at once."""
    BATCH = "batch"
    """In one of the provider's batches."""
    FLEX = "flex"
    """By itself, by the provider's service tier `flex`, which answers when it can."""


class BatchTerms(Table):
    """What a provider's batch API costs and takes. An item goes there by itself where it is not
    interactive and has two hours left until its deadline; where it has no answer three quarters of
    an hour before that, it goes live.
    """

    prices: Prices
    """The price list of requests in batches. Lists of live prices do not say it reliably, so that
    it is stated here."""

    api: BatchForm = "openai"
    """How the provider is asked for batches; where nothing is stated as its profile or its host is,
    and by a host that is not known as OpenAI, or Anthropic, is."""

    model: Annotated[str, Field(min_length=1)] | None = None
    """What the provider calls the model in batches, where that is another name than live: Azure's
    batches are asked of a deployment of their own, of the kind Global Batch."""

    requests: PositiveCount = 50_000
    """Most calls that one batch holds."""

    bytes: PositiveCount = 200_000_000
    """Most bytes of the file that a batch's calls stand in."""

    enqueued_tokens: PositiveCount | None = None
    """Most tokens in all batches that are not over; where nothing is stated, none is known."""

    collect: Duration = 5 * MINUTE_US
    """How long items are collected; a batch that is full goes at once."""


class Flex(Table):
    """What a provider's service tier `flex` costs. An item is asked there by itself where it is not
    interactive, goes in no batch, and has time for one such call and three quarters of an hour
    more; where that time has run out, or the tier does not take the model, it goes live.
    """

    prices: Prices
    """The price list of calls by the tier. Lists of live prices do not say it reliably, so that it
    is stated here."""

    timeout: float = Field(default=900.0, gt=0, le=86_400)
    """Seconds that such a call may take."""

    @property
    def least(self) -> int:
        """Microseconds an item must have left."""
        return round(self.timeout * SECOND_US) + PROMOTED_US
