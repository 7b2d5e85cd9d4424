"""The work of a run: its policy, what the sandbox does to it, and the items.

Prices are the sandbox's own for ``frontier-large``: 5 dollars per million input tokens and 25 per
million output tokens. Its answers are billed at 100 to 1,000 output tokens, log-uniform, so that
actual costs spread 10:1 around about a cent; the output limit makes the bound nearly four times the
mean.
"""

from dataclasses import dataclass
from pathlib import Path

from tierqueue.ledger.lifecycle.items import new_id, prepare
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.tasks import complete

OUTPUT_LIMIT = 1_400
NANO_PER_ITEM = 5_000_000
"""The ceiling's nano-dollars per item: half of what an item costs, so that about half fit."""

CEILING = "limit"
OVERAGE = "overage"
"""The two budgets: the one that must hold to the nano-dollar, and the one that is billed over."""

PRICES = (
    '{ input = "5", cache_read = "0.50", cache_write_5m = "6.25", cache_write_1h = "10",'
    ' output = "25" }'
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One run: ``items`` on a ceiling for half of them, and what happens to it on the way.

    ``kills``: SIGKILLs during calls; ``lost``: replies the provider bills and drops;
    ``overage``: items of the second budget, a third of them billed above their bound;
    ``concurrency``: calls in flight of each of ``processes`` workers; ``latency`` and ``lease`` in
    seconds.
    """

    items: int
    kills: int
    lost: int
    overage: int
    concurrency: int
    latency: float
    lease_seconds: float
    processes: int = 8

    @property
    def limit(self) -> int:
        """The ceiling in nano-dollars."""
        return self.items * NANO_PER_ITEM

    @property
    def overage_limit(self) -> int:
        """The second budget's ceiling in nano-dollars."""
        return max(1, self.overage) * 2 * NANO_PER_ITEM

    def names(self) -> list[tuple[str, str]]:
        """The worker processes: each one's name and tier; every fourth serves the upper tier."""
        tiers = ["frontier" if at % 4 == 1 else "open_weight" for at in range(self.processes)]
        return [(f"{tier}{at}", tier) for at, tier in enumerate(tiers)]


def policy(shape: Shape, port: int) -> str:
    """A policy with two tiers at one price: a refused answer is escalated from one to the other."""

    def deployment(name: str, tier: str, engine: str, path: str) -> str:
        return f"""
[deployments.{name}]
tier = "{tier}"
engine = "{engine}"
model = "frontier-large-{name}"
boundary = "vendor:{name}"
base_url = "http://127.0.0.1:{port}{path}"
key_env = "SANDBOX_KEY"
context_window = 200000
simulated = true
timeout = 30
prices = {PRICES}
limits = {{ in_flight = 1000 }}

[tiers.{tier}]
slice = 8
"""

    def ceiling(name: str, limit: int) -> str:
        dollars = f"{limit // 10**9}.{limit % 10**9:09d}"
        return f'\n[[ceilings]]\nscope = "budget"\nname = "{name}"\nlimit = "{dollars}"\n'

    return (
        'allow_simulated = true\ndefault_sensitivity = "internal"\n\n[retry]\nbase = 0.5\ncap = 5\n'
        + deployment("first", "open_weight", "openai", "/v1")
        + deployment("second", "frontier", "anthropic", "")
        + ceiling(CEILING, shape.limit)
        + ceiling(OVERAGE, shape.overage_limit)
    )


def faults() -> str:
    """The sandbox's plan: how many output tokens each answer is billed at."""
    return 'seed = 7\n\n[[output]]\nmodel = "frontier-large*"\nlow = 100\nhigh = 1000\n'


def submit(ledger: Ledger, count: int, lost: int, budget: str) -> None:
    """Commit ``count`` items of ``budget`` in batches; faults are asked for by their prompts."""
    prompts = [_prompt(at, count, lost, budget) for at in range(count)]
    for start in range(0, count, 500):
        made = [
            complete.new_item(
                (),
                {"prompt": prompt, "max_output_tokens": OUTPUT_LIMIT, "budget": budget},
                item_id=new_id(),
            )
            for prompt in prompts[start : start + 500]
        ]
        with ledger.write() as connection:
            prepare(ledger.dialect, made, database_now(connection)).write(connection)


def _prompt(at: int, count: int, lost: int, budget: str) -> str:
    text = f"{budget} {at:05d}"
    if budget == OVERAGE:
        return f"{text} [[sandbox:overage factor=2]]" if at % 3 == 0 else text
    # Lost replies come early, so that the ceiling still has headroom for them.
    if lost and at % max(1, count // (4 * lost)) == 1 and at < count // 4:
        return f"{text} [[sandbox:charged_lost times=1]]"
    if at % 20 == 3:
        return f"{text} [[sandbox:503 times=1]]"
    if at % 20 == 7:
        return f"{text} [[sandbox:truncated model=frontier-large-first]]"
    return text


def write_policy(shape: Shape, port: int, path: Path) -> None:
    """Write the run's policy file."""
    path.write_text(policy(shape, port), encoding="utf-8")
