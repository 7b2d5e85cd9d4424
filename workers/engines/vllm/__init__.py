"""vLLM inside the worker process: its engine, and all that is known of vLLM's own ways."""

from tierqueue.workers.engines.vllm.engine import VllmEngine

__all__ = ["VllmEngine"]
