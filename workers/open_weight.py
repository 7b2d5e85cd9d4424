"""The entrance of the ``open_weight`` tier: ``celery -A tierqueue.workers.open_weight worker``."""

import tierqueue.tasks  # noqa: F401 - registers the task types
from tierqueue.router.item import Tier
from tierqueue.tasks.app import app
from tierqueue.workers.tier_worker import TierWorker

worker = TierWorker(app, Tier.OPEN_WEIGHT)

__all__ = ["app", "worker"]
