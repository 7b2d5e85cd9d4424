"""The entrance of the routing stage: ``tierqueue worker routing``."""

import tierqueue.tasks.kinds  # noqa: F401 - registers the task types, whose calls by name come in here
from tierqueue.tasks.app import app
from tierqueue.workers.routing_stage.worker import RoutingWorker

worker = RoutingWorker(app)

__all__ = ["app", "worker"]
