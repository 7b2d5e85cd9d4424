"""The broker's client for whoever has to have an answer soon or none."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SILENT_SECONDS = 1.0
"""Seconds for which a broker that does not answer is waited for; it is asked twice."""


def deadline_client(broker_url: str) -> redis.Redis:
    """A client of the broker at this address, as Celery writes it; connects with its first call.

    A call raises ``redis.RedisError`` where no answer comes in time: what waits for it may be
    holding calls back that others are waiting for.
    """
    return redis.Redis.from_url(
        broker_url.replace("redis+socket://", "unix://", 1),
        socket_timeout=SILENT_SECONDS,
        socket_connect_timeout=SILENT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )
