"""The engine with nothing around it, in a process of its own: ``LLM.generate``, or ``AsyncLLM``.

Reads tasks from standard input, one JSON line each, and answers each with one JSON line.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.engine.calls import call_of
from bench.engine.load import DEPLOYMENT
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.vllm import VllmEngine, launch, request

Generate = Callable[[list[str], list[Any]], Awaitable[list[Any]]]


def main() -> None:
    """``raw.py offline|async POLICY MAX_NUM_SEQS``."""
    kind, policy_path, seqs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    for name, value in launch.SETTINGS.items():
        os.environ.setdefault(name, value)
    policy = parse_policy(policy_path.read_text(encoding="utf-8"), str(policy_path))
    asyncio.run(_serve(kind, policy, seqs))


async def _serve(kind: str, policy: Policy, seqs: int) -> None:
    deployment = policy.deployments[DEPLOYMENT]
    engine = VllmEngine(
        deployment=DEPLOYMENT, model=deployment.model, options=deployment.engine_options
    )
    arguments = {**engine.arguments(), "max_num_seqs": seqs}
    arguments.pop("scheduler_cls", None)  # vLLM's own
    generate, tokenizer = _offline(arguments) if kind == "offline" else _alone(arguments)
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        calls = [call_of(policy, row) for row in json.loads(line)["rows"]]
        prompts = [request.prompt_text(tokenizer, call) for call in calls]
        sampling = [plain(call) for call in calls]
        began = time.perf_counter()
        done = await generate(prompts, sampling)
        seconds = time.perf_counter() - began
        told = {
            "seconds": seconds,
            "tokens": sum(len(output.outputs[0].token_ids) for output in done),
            "input": sum(len(output.prompt_token_ids) for output in done),
            "cached": sum(output.num_cached_tokens or 0 for output in done),
        }
        print(json.dumps(told), flush=True)


def plain(call: Call) -> Any:
    """What the worker asks of a call, with vLLM's own check of every request's schema."""
    from vllm.sampling_params import SamplingParams

    return SamplingParams(**request.plain(call, request.structured))


def _offline(arguments: dict[str, Any]) -> tuple[Generate, Any]:
    from vllm import LLM

    arguments.pop("enable_log_requests")
    llm = LLM(**arguments)

    async def generate(prompts: list[str], sampling: list[Any]) -> list[Any]:
        return list(llm.generate(prompts, sampling, use_tqdm=False))

    return generate, llm.get_tokenizer()


def _alone(arguments: dict[str, Any]) -> tuple[Generate, Any]:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
    count = 0

    async def one(prompt: str, sampling: Any) -> Any:
        nonlocal count
        count += 1
        last: Any = None
        async for output in llm.generate(prompt, sampling, request_id=f"alone-{count}"):
            last = output
        return last

    async def generate(prompts: list[str], sampling: list[Any]) -> list[Any]:
        return list(await asyncio.gather(*map(one, prompts, sampling)))

    return generate, llm.get_tokenizer()


if __name__ == "__main__":
    main()
