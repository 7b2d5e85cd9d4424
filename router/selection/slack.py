"""By which lane an item goes: what time it has, and what each lane of a deployment asks for."""

from dataclasses import dataclass

from tierqueue.router.item import Demands, Latency
from tierqueue.router.policy.duration import HOUR_US, SECOND_US
from tierqueue.router.policy.lanes import LEAST_US, Lane


@dataclass(frozen=True, slots=True)
class Slack:
    """How much time an item has: microseconds ``left``, whether somebody waits for it, and whether
    it was asked by a cheaper lane before that came to nothing.
    """

    left: int
    urgent: bool
    live: bool

    def lane(self, *, batch: bool, flex: int | None) -> Lane:
        """The lane by which a deployment is asked that has batches, or a flex tier for whoever has
        ``flex`` microseconds left.
        """
        if self.live or self.urgent:
            return Lane.LIVE
        if batch and self.left >= LEAST_US:
            return Lane.BATCH
        return Lane.LIVE if flex is None or self.left < flex else Lane.FLEX

    def why(self, lane: Lane, *, batch: bool, flex: int | None) -> str:
        """Why it goes by this ``lane``, of those that the deployment has."""
        told = f"{_time(self.left)} are left until its deadline"
        if lane is Lane.BATCH:
            return f"in a batch, at the provider's lower price: {told}"
        if lane is Lane.FLEX:
            return f"by the provider's flex tier, at its lower price: {told}"
        others = [*(["in a batch"] if batch else []), *(["by the flex tier"] if flex else [])]
        not_so = f"live, not {' or '.join(others)}: "
        if self.live:
            return "live: its batch came to nothing" if batch else f"{not_so}it was refused there"
        if self.urgent:
            return f"{not_so}somebody waits for it"
        asks = [*(["a batch is given two hours"] if batch else [])]
        asks += [f"a call by the flex tier {_time(flex)}"] if flex else []
        return f"{not_so}{told}, and {', '.join(asks)}"


def slack_of(demands: Demands, now: int, *, live: bool) -> Slack:
    """What time an item has ``now`` (epoch microseconds)."""
    left = LEAST_US if demands.deadline is None else max(0, demands.deadline - now)
    return Slack(left, demands.latency is Latency.INTERACTIVE, live)


def _time(microseconds: int) -> str:
    return f"{microseconds // HOUR_US} h {microseconds % HOUR_US // (60 * SECOND_US)} min"
