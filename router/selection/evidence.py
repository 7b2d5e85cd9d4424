"""Evidence of each deployment on a task type, and the cost of an accepted answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2s
from math import sqrt

from tierqueue.router.policy.prices import MaxRate

ENOUGH = 30
"""Answers from which on something is concluded from them; with fewer the bounds alone decide."""

PROBED = 50
"""One of so many items goes by the bounds, whatever the answers say: else they would say no more of
a deployment that is left out."""

_Z = 1.645
"""A share is above its upper limit in one of 20 cases."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The answers of one deployment to one task type: how many, how many were accepted, and the
    sums of their tokens and seconds. The older an answer, the less it counts.
    """

    answers: int
    accepted: int
    input_tokens: int
    output_tokens: int
    seconds: float

    @property
    def enough(self) -> bool:
        """Whether something is concluded from so many answers."""
        return self.answers >= ENOUGH

    @property
    def mean_seconds(self) -> float:
        """How long a call takes, in seconds."""
        return self.seconds / self.answers if self.answers else 0.0


ByDeployment = Mapping[str, Evidence]
"""One task type's evidence."""


def refusal_chance(known: Evidence | None) -> float:
    """The chance, 0 to 1, that an answer is refused: the least that the answers leave possible.

    It is Wilson's limit at 95 %, so that bad luck moves no work; 0 where too little is known.
    """
    if known is None or not known.enough:
        return 0.0
    count, share = known.answers, 1 - known.accepted / known.answers
    square = _Z * _Z
    middle = share + square / (2 * count)
    spread = _Z * sqrt(share * (1 - share) / count + square / (4 * count * count))
    return max(0.0, (middle - spread) / (1 + square / count))


def expected_call(
    name: str, price: MaxRate, most_input: int, most_output: int, known: ByDeployment
) -> int:
    """What one call is expected to cost at ``name``, in nano-dollars.

    Its tokens are the mean of this task type's answers there, where there are too few those of its
    answers anywhere, and at most those of the item itself.
    """
    own = known.get(name)
    seen = [own] if own is not None and own.enough else list(known.values())
    answers = sum(one.answers for one in seen)
    if answers < ENOUGH:
        return price.bound(most_input, most_output)
    taken = -(-sum(one.input_tokens for one in seen) // answers)
    given = -(-sum(one.output_tokens for one in seen) // answers)
    return price.bound(min(most_input, taken), min(most_output, given))


def per_accepted(call: int, refused: float, above: int | None) -> int:
    """What an accepted answer is expected to cost in the end, in nano-dollars.

    A call of ``call``, and with the chance ``refused`` what the tier above costs in the end; with
    nobody above, as many calls as it takes on average.
    """
    if above is None:
        return round(call / (1 - refused)) if refused < 1 else call * ENOUGH
    return round(call + refused * above)


def probes(item_id: str) -> bool:
    """Whether this item goes by the bounds, drawn by its id alone."""
    return int.from_bytes(blake2s(item_id.encode()).digest()[:4]) % PROBED == 0
