"""The entrance of the ``frontier`` tier: ``tierqueue worker frontier``."""

import tierqueue.tasks.kinds  # noqa: F401 - registers the task types
from tierqueue.router.item import Tier
from tierqueue.tasks.app import app
from tierqueue.workers.tier_worker import TierWorker

worker = TierWorker(app, Tier.FRONTIER)

__all__ = ["app", "worker"]
