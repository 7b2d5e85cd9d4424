"""The entrance of the routing stage: ``celery -A tierqueue.workers.routing worker -Q route``."""

import tierqueue.tasks  # noqa: F401 - registers the task types, whose calls by name come in here
from tierqueue.tasks.app import app
from tierqueue.workers.routing_worker import RoutingWorker

worker = RoutingWorker(app)

__all__ = ["app", "worker"]
