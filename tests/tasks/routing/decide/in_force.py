"""A policy in force, who is started with it, and who claims under it."""

from typing import Any
from unittest.mock import Mock

from tests.ledger.placed import column
from tierqueue.ledger.in_force import policy_versions
from tierqueue.ledger.lifecycle import claims, items
from tierqueue.ledger.lifecycle.claims import Claimant, Claims
from tierqueue.ledger.lifecycle.items import NewItem, new_id
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.routing.side_by_side import Policies
from tierqueue.workers.routing_stage.stage import RoutingStage

OPEN = """
[deployments.open]
tier = "open_weight"
engine = "openai"
model = "open"
boundary = "vendor:opens"
key_env = "KEY"
context_window = 32000
prices = { input = "1", output = "2" }
"""
BEST = """
[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "best"
boundary = "vendor:acme"
key_env = "KEY"
context_window = 32000
prices = { input = "5", output = "25" }
"""
HOUSE = """
[deployments.house]
tier = "gpu"
engine = "vllm"
model = "small"
boundary = "house"
context_window = 32000
gpu_hour = "3.60"
"""
LAX = 'default_sensitivity = "internal"\n'
BEFORE = LAX + OPEN + BEST
FRONTIER = '[[floors]]\nfloor = "frontier"\n'


def policy_of(text: str) -> Policy:
    return parse_policy(text, "test")


def started(ledger: Ledger, text: str) -> RoutingStage:
    """A routing stage that has just started with a policy."""
    stage = RoutingStage(
        ledger=ledger,
        policy=policy_of(text),
        send=lambda *_: None,
        delivery=Mock(spec=Delivery),
        received=lambda _: None,
        resend_seconds=60.0,
        checkpoint=lambda _: None,
    )
    stage.start()
    return stage


def settled(stage: RoutingStage) -> None:
    """Looks until there is nothing more to route."""
    stage.round()
    while stage.round():
        pass
    stage.round()


def submit(ledger: Ledger, count: int = 1, **stated: Any) -> list[str]:
    made = [
        NewItem(
            id=new_id(),
            task="ticket",
            arguments={"text": "x"},
            fingerprint="f",
            prefix="p",
            prompt_bytes=500,
            messages=2,
            output_limit=100,
            **stated,
        )
        for _ in range(count)
    ]
    with ledger.write() as connection:
        return [items.submit(connection, new, None) for new in made]


def claim(
    ledger: Ledger,
    item_id: str,
    text: str,
    deployment: str | None = None,
    policies: Policies | None = None,
) -> Claims:
    """A worker of a policy claims an item from the slice that was sent for it."""
    name = deployment or column(ledger, item_id, "deployment")
    known_as = policy_of(text).deployments[name]
    claimant = Claimant(
        worker="w",
        tier=known_as.tier.value,
        deployment=name,
        provider=known_as.provider,
        metered=known_as.metered,
        lease_us=60_000_000,
        policy=known_as.policy,
        terms=known_as.terms,
    )
    wanted = {item_id: column(ledger, item_id, "fence")}
    with ledger.write() as connection:
        known = claims.read(connection, wanted)
        now, rows = database_now(connection), [one.item for one in known.values()]
        held = (policies or Policies(policy_of(text))).held_back(rows, known_as, now)
        return claims.claim(connection, claimant, wanted, known, now, held)


def where(ledger: Ledger, ids: list[str]) -> set[tuple[str, str]]:
    return {
        (column(ledger, item_id, "state"), column(ledger, item_id, "deployment")) for item_id in ids
    }


def applied(ledger: Ledger, text: str) -> None:
    with ledger.write() as connection:
        policy_versions.apply(connection, policy_of(text), text, by="ada", reason=None)
