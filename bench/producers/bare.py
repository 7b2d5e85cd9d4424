"""Bare Celery's producer."""

from typing import Any

from bench.producers.loop import produce
from bench.stage.bare import noop


def call(_: int) -> Any:
    """One no-op."""
    return noop.delay()


if __name__ == "__main__":
    produce(call)
