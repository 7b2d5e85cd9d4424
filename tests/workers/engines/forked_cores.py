"""vLLM's cores as forks of the process that starts them, which has imported all that they need.

One that is spawned, as the product does, takes ten times as long; the demo's test starts such.
"""

import gc
import multiprocessing
import multiprocessing.util
import os

from tests.fork_server import end_with_parent
from tierqueue.workers.engines.vllm import launch


def fork_cores() -> None:
    """Import vLLM and have its cores forked from now on; they compile nothing at a first call."""
    for name, value in launch.SETTINGS.items():
        os.environ.setdefault(name, value)
    import torch._dynamo
    import vllm.engine.arg_utils
    import vllm.v1.engine.core
    import vllm.v1.engine.utils

    if launch.on_cpu():
        import vllm.v1.worker.cpu_worker
    # Threads that had worked for this process would be missing in a fork, which waits for them.
    torch.set_num_threads(1)
    fork = multiprocessing.get_context("fork")
    vllm.v1.engine.utils.get_mp_context = lambda: fork
    torch._dynamo.config.disable = True
    multiprocessing.util.register_after_fork(fork, _begin)


def _begin(_: object) -> None:
    # A core that looked through all that was imported for garbage would copy it.
    gc.freeze()
    # It holds the pipe by which the watcher of cores hears of the worker's death.
    end_with_parent()
