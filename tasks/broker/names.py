"""Names that travel: kinds of process, queues, control tasks, keys at the broker."""

from collections.abc import Iterable

from tierqueue.router.item import Tier

ROUTING = "routing"
"""The kind of process that is the routing stage; the others are named for their tier."""

CALLS = {ROUTING: 4, Tier.GPU.value: 512, Tier.OPEN_WEIGHT.value: 8, Tier.FRONTIER.value: 8}
"""How many calls a process of each kind lets through at once, unless it is told with ``-c``."""

ROUTE = "route"
"""The queue of the routing stage: wakes, and calls by name."""

WAKE = "tierqueue.wake"
"""A message that says "look" and carries nothing."""

AWAKE = "tierqueue:awake"
"""A key at the broker: a routing stage is looking, and no wake would change anything."""

EPOCH = "tierqueue:epoch"
"""A key at the broker: gone, the broker has forgotten everything else too."""

BEAT = "tierqueue:beat"
"""A key at the broker: the ledger's time (epoch µs) when a routing stage last looked in. It only
grows: smaller than it was, the broker has come back from an older copy of itself."""

MENDING = "tierqueue:mending"
"""A key at the broker: somebody is telling it again what it forgot."""

WRITTEN = "tierqueue:written"
"""A key at the broker: written for a millisecond, to see whether it takes writes."""

UNACKED = "tierqueue:route:unacked"
"""A key at the broker: what routing stages have read and not yet acknowledged."""

UNACKED_INDEX = "tierqueue:route:unacked-index"
"""A key at the broker: since when that is out."""

UNACKED_MUTEX = "tierqueue:route:unacked-mutex"
"""A key at the broker: who puts it back on the queue."""

LIMITER = "tierqueue:limiter"
"""The beginning of the limiter's keys at the broker."""

SLICE = "tierqueue.slice"
"""A message that names 1..K items of one deployment."""

USUAL_PRIORITY = 3
"""The Celery priority of slices that nobody waits for: on Redis whatever states none goes first."""

DEAD = "tierqueue.dead_letter"
"""A message that names one dead letter and its reason, on the queue of its tier."""

REQUEST = "tierqueue.tasks.consumer.request:NamedRequest"
"""How workers see slices."""

AT_ONCE = "tierqueue.tasks.consumer.strategies:at_once"
"""What the routing stage does with wakes."""


def tier_queue(tier: Tier) -> str:
    """The queue that feeds a tier's workers."""
    return tier.value


def queue_of(kind: str) -> str:
    """The one queue that a process of this kind reads."""
    return ROUTE if kind == ROUTING else tier_queue(Tier(kind))


def dead_queue(tier: Tier | None) -> str:
    """The queue on which a tier's dead letters are announced; ``None``: never routed."""
    return f"dead.{tier.value if tier else ROUTE}"


def promise_marker(promise_id: str, replays: int) -> str:
    """A key at the broker: what follows a promise is being sent, or was, since that replay."""
    marker = f"tierqueue-promise-{promise_id}"
    return f"{marker}-{replays}" if replays else marker


def dead_letter_marker(item_id: str, ended_at: int) -> str:
    """A key at the broker: this end (epoch microseconds) is being announced, or was."""
    return f"tierqueue-dead-{item_id}-{ended_at}"


class LimiterKeys:
    """Keys at the broker: what the limiter knows; ``prefix`` begins every one.

    Of most it knows each scope: the deployment, its tier, and what its calls share with others'
    (``shared``, by their keys).
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def windows(self, deployment: str, tier: str, shared: Iterable[str] = ()) -> list[str]:
        """The windows of each scope."""
        return self._of_scopes("windows", deployment, tier, shared)

    def slots(self, deployment: str, tier: str, shared: Iterable[str] = ()) -> list[str]:
        """The calls in flight of each scope."""
        return self._of_scopes("calls", deployment, tier, shared)

    def memory(self, deployment: str, tier: str, shared: Iterable[str] = ()) -> list[str]:
        """What is known of the calls in flight of each scope."""
        return self._of_scopes("known", deployment, tier, shared)

    def whole(self, deployment: str, tier: str, shared: Iterable[str] = ()) -> list[str]:
        """Of each scope its windows, its calls in flight, what is known of those."""
        scopes = deployment, tier, tuple(shared)
        of_each = zip(self.windows(*scopes), self.slots(*scopes), self.memory(*scopes), strict=True)
        return [key for scope in of_each for key in scope]

    def learned(self, deployment: str) -> str:
        """What was learned of a deployment's limits."""
        return f"{self.prefix}:learned:{deployment}"

    def expected(self, deployment: str) -> str:
        """What the calls of a deployment used, the last one first."""
        return f"{self.prefix}:expected:{deployment}"

    def _of_scopes(self, what: str, deployment: str, tier: str, shared: Iterable[str]) -> list[str]:
        own = (f"{what}:{deployment}", f"tier-{what}:{tier}")
        return [f"{self.prefix}:{key}" for key in (*own, *(f"shared-{what}:{s}" for s in shared))]
