"""The entrance of the ``open_weight`` tier: ``tierqueue worker open_weight``."""

import tierqueue.tasks.kinds  # noqa: F401 - registers the task types
from tierqueue.router.item import Tier
from tierqueue.tasks.app import app
from tierqueue.workers.tier_worker import TierWorker

worker = TierWorker(app, Tier.OPEN_WEIGHT)

__all__ = ["app", "worker"]
