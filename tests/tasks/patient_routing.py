"""The routing stage as it is shipped, but for its patience: ten minutes for a silent broker."""

from tierqueue.workers.routing import app, worker

app.conf.update(redis_socket_timeout=600)

__all__ = ["app", "worker"]
