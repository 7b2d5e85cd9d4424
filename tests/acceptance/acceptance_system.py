"""What an acceptance test sees of a running system."""

import json
from collections.abc import Callable
from typing import Any

from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import attempts, items
from tools.system import System

POLICY = """
allow_simulated = true
default_sensitivity = "internal"

[tiers.frontier]
concurrency = 8

[deployments.house]
tier = "gpu"
engine = "openai"
model = "house-tiny"
base_url = "http://127.0.0.1:{port}/v1"
key_env = "SANDBOX_KEY"
context_window = 32768
boundary = "house"
simulated = true
timeout = 20
prices = { input = "0", output = "0" }

[deployments.open]
tier = "open_weight"
engine = "openai"
model = "open-small"
base_url = "http://127.0.0.1:{port}/v1"
key_env = "SANDBOX_KEY"
context_window = 32768
boundary = "vendor:opens"
simulated = true
timeout = 20
prices = { input = "0.10", output = "0.40" }

[deployments.best]
tier = "frontier"
engine = "anthropic"
model = "frontier-large"
base_url = "http://127.0.0.1:{port}"
key_env = "SANDBOX_KEY"
context_window = 200000
boundary = "vendor:closed"
simulated = true
timeout = 20
vision = true
image_tokens = 1600
[deployments.best.prices]
input = "5"
cache_read = "0.5"
cache_write_5m = "6.25"
cache_write_1h = "10"
output = "25"
{more}
[[ceilings]]
scope = "budget"
window = "day"
limit = "50usd"

[retry]
calls = 3
base = 0.2
cap = 1.0
"""


class RunningSystem:
    """A running system, the ledger behind it, and what can be asked of both."""

    def __init__(self, system: System, ledger: Ledger) -> None:
        self.system = system
        self.ledger = ledger

    def item(self, item_id: str) -> Any:
        """The item's row."""
        with self.ledger.read() as connection:
            return connection.execute(items.select().where(items.c.id == item_id)).one()

    def attempts(self, item_id: str) -> list[Any]:
        """The item's attempts by fence."""
        wanted = attempts.select().where(attempts.c.item_id == item_id).order_by(attempts.c.fence)
        with self.ledger.read() as connection:
            return list(connection.execute(wanted))

    def served(self) -> list[dict[str, Any]]:
        """What the sandbox served, from its own log."""
        lines = self.system.sandbox_log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


Build = Callable[..., RunningSystem]
