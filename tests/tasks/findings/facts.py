"""Facts for findings, each as a test needs it."""

from typing import Any

from tierqueue.ledger.ceilings.balance import Balance
from tierqueue.ledger.ceilings.status import CeilingStatus
from tierqueue.ledger.monitoring.backlog import Backlog, WaitingItems
from tierqueue.ledger.monitoring.endings import Deaths, Toll
from tierqueue.ledger.monitoring.progress import Process, Progress
from tierqueue.router.item import TIERS
from tierqueue.router.policy.policy import parse_policy
from tierqueue.tasks.findings import findings
from tierqueue.tasks.findings.finding import Facts, Finding

FLOWING = dict.fromkeys(TIERS, 8)
NOW = 1_700_000_000_000_000


def process(kind: str, tier: str | None = None, **told: Any) -> Process:
    defaults: dict[str, Any] = {
        "id": f"{tier or kind}@here:1",
        "up": 600.0,
        "silent": 1.0,
        "since": {"looked": 0.1, "claimed": 1.0, "ended": 1.0},
        "counts": {},
        "last_minute": {"ended": 120},
        "detail": {},
    }
    return Process(kind=kind, tier=tier, **{**defaults, **told})


HOUSE = parse_policy(
    """
[deployments.house]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 1000
timeout = 60
gpu_hour = "1"
""",
    "test",
).deployments["house"]

ROUTING = process("routing")
GPU = process("worker", "gpu")


def facts(*processes: Process, **told: Any) -> Facts:
    progress: dict[str, Any] = {
        "backlog": {},
        "waiting": [],
        "running": [],
        "paused": [],
        "dead": {},
        "overdue_leases": 0,
        "promises_owed": 0,
        "unreadable": 0,
    }
    of_progress = {name: told.pop(name) for name in list(told) if name in progress}
    defaults: dict[str, Any] = {
        "concurrency": FLOWING,
        "deployments": {"house": HOUSE},
        "conditions": {},
        "routed": {},
        "ceilings": [],
        "toll": Toll(since=0, deaths=[], ended=0),
        "lately": [],
        "now": NOW,
    }
    stands = Progress(processes=list(processes), **{**progress, **of_progress})
    return Facts(progress=stands, **{**defaults, **told})


def ready(number: int, seconds: float) -> dict[str, Backlog]:
    return {"gpu": Backlog(ready=number, oldest_seconds=seconds)}


def wrong(looked: Facts) -> dict[str, Finding]:
    return {finding.code: finding for finding in findings(looked) if finding.wrong}


def notes(looked: Facts) -> dict[str, Finding]:
    return {finding.code: finding for finding in findings(looked) if not finding.wrong}


def waits(
    code: str, items: int, ceiling: Balance | None = None, least: int = 0, seconds: float = 0.0
) -> WaitingItems:
    return WaitingItems(
        code=code,
        ceiling=ceiling,
        tier="gpu",
        deployment="house",
        items=items,
        least=least,
        oldest_seconds=seconds,
    )


def died(reason: str, items: int, kind: str = "", **told: Any) -> Deaths:
    group: dict[str, Any] = {
        "task": "tierqueue.classify",
        "deployment": "house",
        "spent": 4_000_000_000,
        "last_at": NOW - 180_000_000,
        "example": "01a1",
        "ceiling": None,
    }
    return Deaths(reason=reason, kind=kind, items=items, **{**group, **told})


def toll(ended: int, *deaths: Deaths) -> Toll:
    return Toll(since=NOW - 3_600_000_000, deaths=list(deaths), ended=ended)


def ceiling(**told: Any) -> CeilingStatus:
    stated: dict[str, Any] = {
        "scope": "budget",
        "name": "acme",
        "window": "day",
        "start": "2026-11-20",
        "limit": 10**9,
        "spent": 0,
        "held": 0,
        "set_by": "policy",
    }
    return CeilingStatus(**{**stated, **told})
