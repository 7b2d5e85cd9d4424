"""The frontier tier's worker as the Procfile starts it, whose minute may be a shorter window."""

import os

import tierqueue.tasks.kinds  # noqa: F401 - registers the task types
from bench.limits import kinds  # noqa: F401 - the same
from bench.limits.cases import travel
from tierqueue.router.item import Tier
from tierqueue.tasks.app import app
from tierqueue.workers.limits.limiter import Limiter
from tierqueue.workers.tier_worker import TierWorker

WINDOW = float(os.environ["BENCH_WINDOW"])
Limiter.minute = WINDOW
Limiter.travel = travel(WINDOW)

worker = TierWorker(app, Tier.FRONTIER)

__all__ = ["app", "worker"]
