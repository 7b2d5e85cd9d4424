"""Endings of a call to vLLM without an answer, by the error that vLLM raised."""

from typing import Any

import structlog

from tierqueue.router.outcome import (
    ENGINE_TIME,
    Completed,
    Failed,
    Interrupted,
    Unavailable,
    Usage,
)
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.engine_time import OutOfEngineTime
from tierqueue.workers.engines.http import refusals

log = structlog.get_logger(__name__)


def without_answer(
    deployment: str, call: Call, error: Exception, *, hung: bool
) -> Completed | Failed | Unavailable | Interrupted:
    """What ``error`` says of ``call``; ``hung``: its engine core takes no step any more."""
    from vllm.exceptions import VLLMClientError
    from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

    # The types alone: vLLM's validation errors quote the values they refuse.
    named = type(error).__name__
    match error:
        case TimeoutError() if hung:
            message = f"{deployment}: the engine core hangs"
            return Unavailable(kind="engine_died", message=message)
        case OutOfEngineTime():
            return Interrupted(kind=ENGINE_TIME)
        case TimeoutError():
            return failure(deployment, "timeout", f"no answer in {call.timeout} s", transient=True)
        case EngineDeadError():
            log.error("engine_died", deployment=deployment)
            message = f"{deployment}: the engine core died"
            return Unavailable(kind="engine_died", message=message)
        case VLLMClientError() | ValueError() if refusals.says_too_long(str(error), call):
            return Completed(text="", usage=Usage(), model_served=call.model, finish="too_long")
        case VLLMClientError() | ValueError():
            return failure(deployment, "bad_request", f"vLLM refuses it: {named}", transient=False)
        case EngineGenerateError():
            named = f"{named} from {type(error.__cause__).__name__}"
    log.error("engine_error_unexpected", deployment=deployment, item=call.item, error=named)
    return failure(deployment, "engine_error", named, transient=True)


def unfinished(deployment: str, call: Call, answer: Any, llm: Any) -> Failed:
    """A request that the core of ``llm`` gave up, as ``answer`` (vLLM's own, or ``None``) says.

    Of a text it gives up none but those whose schema it makes no grammar of after all, or whose
    tokens that grammar refuses; and those whose cache another machine was to send.
    """
    error = answer is not None and str(answer.finish_reason) == "error"
    alone = llm.vllm_config.kv_transfer_config is None
    if error and alone and call.schema is not None and not call.images:
        log.error("grammar_failed", deployment=deployment, item=call.item, task=call.schema_name)
        return formless(deployment, ": its core gave the request up")
    return failure(deployment, "engine_error", "the request ended unfinished", transient=True)


def formless(deployment: str, how: str) -> Failed:
    """A call whose answer's form the engine's grammar cannot hold."""
    said = f"its grammar cannot hold the form of the answer{how}"
    return failure(deployment, "grammar", said, transient=False, reason="grammar")


def failure(
    deployment: str, kind: str, said: str, *, transient: bool, reason: str = "refused"
) -> Failed:
    """A call that failed: of this ``kind``, and what is said of it beside the deployment."""
    message = f"{deployment}: {said}"
    return Failed(kind=kind, message=message, transient=transient, reason=reason)
