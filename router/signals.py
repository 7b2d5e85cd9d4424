"""What can be known of an item before it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tierqueue.router.item import WorkItem

TOKENS_PER_MESSAGE = 16
"""Most tokens a chat template adds around one message (role, begin and end marks)."""

TOKENS_PER_REQUEST = 256
"""Most tokens a template or provider adds to a request (dates, a built-in system prompt)."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Upper bounds, in tokens, on what one call can use.

    ``counted`` has the input of deployments whose own tokenizer counted it, by their names; for
    the others ``input_tokens_bound`` holds. ``images``: what the item's images count as, by
    deployment, beside that.
    """

    input_tokens_bound: int
    output_tokens_bound: int
    counted: Mapping[str, int] = field(default_factory=dict)
    images: Mapping[str, int] = field(default_factory=dict)

    def input_tokens(self, deployment: str) -> int:
        """The most input tokens of a call to this deployment."""
        text = self.counted.get(deployment, self.input_tokens_bound)
        return text + self.images.get(deployment, 0)


def measure(item: WorkItem, counted: Mapping[str, int]) -> Signals:
    """The bounds for ``item``; ``counted`` is the tokens of its prompt by deployment.

    A byte-level tokenizer spends at most one token on each UTF-8 byte; the template around the
    text is covered by the stated overheads. A tokenizer that rewrites text before cutting it has
    no such proof: what it uses above the bound is booked as overage, never clipped.
    """
    overhead = TOKENS_PER_MESSAGE * item.messages + TOKENS_PER_REQUEST
    exact = {name: tokens + overhead for name, tokens in counted.items()}
    return Signals(item.prompt_bytes + overhead, item.output_limit, exact)
