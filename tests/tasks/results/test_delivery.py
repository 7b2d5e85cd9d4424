"""What is told of items that ended, once their end is committed."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.ledger.placed import place
from tests.tasks.producer import Producer
from tierqueue.ledger.monitoring.endings import ItemCost
from tierqueue.ledger.results.promises import Ending, Ends
from tierqueue.router.lifecycle import State
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks.results.delivery import Delivery

POLICY = """
[deployments.{name}]
tier = "gpu"
engine = "openai"
model = "m"
base_url = "http://127.0.0.1:9/v1"
boundary = "house"
context_window = 1000
gpu_hour = "1"
simulated = true
"""


@pytest.mark.parametrize(("name", "simulated"), [("house", True), ("other", False)])
def test_flower_is_told_whether_the_money_of_a_dead_item_is_simulated(
    producer_to: Callable[[str], Producer],
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    simulated: bool,
) -> None:
    producer = producer_to(sqlite_url)
    installation = producer.app.installation
    policy = parse_policy("allow_simulated = true\n" + POLICY.format(name=name), "t")
    monkeypatch.setattr(installation, "policy", policy)
    told: list[Mapping[str, ItemCost]] = []

    def ended(_: Any, runtime: float | None = None, spent: Any = None) -> None:
        told.append(spent)

    monkeypatch.setattr(installation.item_events, "ended", ended)
    item = place(producer.ledger, "dead", deployment="house", spent=5, reason="exhausted")
    error = {"reason": "exhausted", "message": "m", "fields": {}}
    ending = Ending(item_id=item, state=State.DEAD, answer=None, error=error)
    Delivery(producer.app).ended(Ends([ending], []))
    assert told == [{item: ItemCost("gpu", 5, simulated=simulated)}]
