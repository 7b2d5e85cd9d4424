"""Bare Celery, to be measured against: no-ops with results, on as many processes as ours."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import Celery

from tools.system import ROOT, Process, broker, procfile

BROKER = "BENCH_BROKER_URL"
"""The variable that names the broker of bare Celery."""

url = os.environ.get(BROKER)
app = Celery("bare", broker=url, backend=url)
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_send_task_events=True,
    worker_hijack_root_logger=False,
    broker_pool_limit=20,
)


@app.task(name="bare.noop")  # type: ignore[untyped-decorator]  # celery ships no types
def noop() -> None:
    """Nothing; Celery stores and publishes its result all the same."""


@contextmanager
def bare_celery(folder: Path, nodes: int, environ: dict[str, str]) -> Iterator[dict[str, str]]:
    """Bare Celery on ``nodes`` nodes, with a broker of its own; gives its producer's environment.

    Worker processes: as many as the Procfile has workers, shared by the nodes. Celery's own
    defaults, with the Procfile's events, log level and broker persistence.
    """
    processes = sum("worker" in line.split() for line in procfile().values())
    server = broker(folder / "broker")
    running: list[Process] = []
    try:
        environ = {**environ, BROKER: f"redis://127.0.0.1:{server.port}/0"}
        for node in range(nodes):
            line = (
                f"celery -A bench.stage.bare worker -P prefork -c {processes // nodes}"
                f" -n bare{node}@%h -E -l INFO --without-gossip --without-mingle"
            )
            running.append(Process(f"bare{node}", line, environ, folder / f"bare{node}.log"))
        for process in running:
            process.wait_ready(timeout=60)
        yield environ
    finally:
        for process in running:
            process.end()
        for process in running:
            process.wait(timeout=20)
        server.stop()


__all__ = ["ROOT", "app", "bare_celery"]
