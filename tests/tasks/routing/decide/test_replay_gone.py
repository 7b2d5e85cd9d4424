"""A replay after the policy or the code has changed: what is gone is done without, or said."""

from tests.tasks.routing.decide.way import Way
from tierqueue.ledger.operations import dead_letters
from tierqueue.ledger.session import Ledger
from tierqueue.router.outcome import Failed
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.workers.request import prepare

HEAD = 'default_sensitivity = "internal"\n[retry]\ncalls = 1\n'
DEPLOYMENT = """
[deployments.{name}]
tier = "{tier}"
engine = "openai"
model = "{name}"
boundary = "vendor:{name}"
key_env = "A_KEY"
context_window = 32000
prices = {{ input = "{price}", output = "{price}" }}
"""


def policy(**tiers: str) -> Policy:
    """A policy with these deployments, each by its tier; the first is the cheapest."""
    stated = enumerate(tiers.items(), start=1)
    made = [DEPLOYMENT.format(name=name, tier=tier, price=n) for n, (name, tier) in stated]
    return parse_policy(HEAD + "".join(made), "test")


def dead_at(ledger: Ledger, deployment: str, floor: str = "gpu", **tiers: str) -> Way:
    """An item that failed for good at this deployment, its only call used."""
    way = Way(ledger, policy(**tiers))
    way.submit(floor=floor)
    claim = way.claim()
    assert claim is not None
    assert claim.item.deployment == deployment
    way.settle(claim, Failed(kind="http_500", message="500", transient=True))
    assert (way.column("state"), way.column("reason")) == ("dead", "exhausted")
    return way


def replayed(way: Way, **tiers: str) -> Way:
    """The same item, replayed under another policy."""
    with way.ledger.write() as connection:
        assert dead_letters.replay(connection, [way.item_id], "ada") == [way.item_id]
    after = Way(way.ledger, policy(**tiers))
    after.item_id = way.item_id
    return after


def test_a_replay_goes_to_what_is_there_where_its_deployment_is_gone(ledger: Ledger) -> None:
    way = dead_at(ledger, "old", old="open_weight", other="open_weight")
    claim = replayed(way, other="open_weight").claim()
    assert claim is not None
    assert claim.item.deployment == "other"


def test_a_replay_dies_saying_why_where_no_deployment_is_left_for_it(ledger: Ledger) -> None:
    way = dead_at(ledger, "old", old="open_weight", floor="open_weight")
    after = replayed(way, house="gpu")
    assert after.claim() is None
    assert (after.column("state"), after.column("reason")) == ("dead", "no_route")
    assert "add a deployment to tierqueue.toml, then replay it" in after.column("error")["message"]


def test_a_replay_whose_task_type_is_gone_is_never_called_and_says_what_to_set(
    ledger: Ledger,
) -> None:
    way = dead_at(ledger, "old", old="open_weight")
    claim = replayed(way, old="open_weight").claim()
    assert claim is not None
    call = prepare(way.policy.deployments["old"], claim, None)
    assert isinstance(call, Failed)
    way.settle(claim, call)
    assert (way.column("state"), way.column("reason")) == ("dead", "task_code")
    said = way.column("error")["message"]
    assert "does not know the task type ticket: set TIERQUEUE_IMPORTS" in said
    assert way.column("spent") == 0
