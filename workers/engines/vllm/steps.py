"""The steps of vLLM's scheduler: what it reports of each, and what it keeps for nobody."""

from typing import Any

from tierqueue.workers.engines.engine_load import EngineLoad


def listener(load: EngineLoad) -> Any:
    """What vLLM is to tell of each of its steps: a ``stat_loggers`` of one."""
    from vllm.v1.metrics.loggers import AggregateStatLoggerBase

    class StepListener(AggregateStatLoggerBase):  # type: ignore[misc]
        def __init__(self, vllm_config: Any, engine_indexes: list[int]) -> None:
            load.most = vllm_config.scheduler_config.max_num_seqs * len(engine_indexes)

        def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
            if scheduler_stats is not None:
                prefix = scheduler_stats.prefix_cache_stats
                load.step(
                    scheduler_stats.num_running_reqs,
                    scheduler_stats.num_waiting_reqs,
                    scheduler_stats.kv_cache_usage,
                    prefix.queries,
                    prefix.hits,
                )

        def log_engine_initialized(self) -> None:
            """Nothing to say."""

    return StepListener


def alone(llm: Any, one: Any) -> None:
    """Take away what vLLM keeps for loggers that nobody reads: each step pays for it.

    vLLM 0.32 keeps statistics of each token as soon as there is any logger of one's own, and reads
    its settings from the environment at every request until they are cached. To be called before
    the loop has turned once after the engine was made.
    """
    from vllm import envs

    manager = llm.logger_manager
    manager.stat_loggers = [kept for kept in manager.stat_loggers if isinstance(kept, one)]
    llm.log_stats = llm.output_processor.log_stats = False
    if llm.output_handler is not None:
        llm.output_handler.cancel()
        llm.output_handler = None
        llm._run_output_handler()  # noqa: SLF001 - the version is pinned
    envs.enable_envs_cache()
