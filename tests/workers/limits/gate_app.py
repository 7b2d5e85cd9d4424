"""A worker whose slices hold their calls at the gate until a test lets them go.

Each call writes how many run at its entry to the list ``entered`` and ends with one token taken
from the list ``door``.
"""

import asyncio
import os
import threading

import redis.asyncio
from celery import Celery

from tierqueue.workers.limits.pool import GATE, GATE_POOL

app = Celery("gate_app", broker=os.environ["GATE_BROKER"])
app.conf.update(
    worker_pool=GATE_POOL,
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)
loop = asyncio.new_event_loop()
running: set[object] = set()


async def call(client: redis.asyncio.Redis) -> None:
    me = object()
    async with GATE:
        running.add(me)
        await client.rpush("entered", len(running))
        await client.blpop("door")
        running.remove(me)


async def run(calls: int) -> None:
    url = os.environ["GATE_REDIS"]
    async with redis.asyncio.Redis.from_url(url, socket_timeout=None) as client:
        await asyncio.gather(*(call(client) for _ in range(calls)))


@app.task(name="gate_app.slice")  # type: ignore[untyped-decorator]
def slice_(calls: int) -> None:
    asyncio.run_coroutine_threadsafe(run(calls), loop).result()


threading.Thread(target=loop.run_forever, daemon=True).start()
