"""The ``frontier`` tier's worker as the Procfile starts it, with the null engine passed in."""

import tierqueue.tasks.kinds  # noqa: F401 - registers the task types
from bench.stage.noted_engine import build
from tierqueue.router.item import Tier
from tierqueue.tasks.app import app
from tierqueue.workers.tier_worker import TierWorker

worker = TierWorker(app, Tier.FRONTIER, build_engine=build)

__all__ = ["app", "worker"]
