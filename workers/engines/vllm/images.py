"""Calls with images, as vLLM's own chat messages: how a model is shown them is vLLM's to know."""

from typing import Any

from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.vllm.request import TEMPLATE


def unseeing(llm: Any) -> str | None:
    """Why a model that was loaded is sent no image; ``None``: it sees them."""
    if not llm.model_config.is_multimodal_model:
        return f"vLLM has no image processor for its model {llm.model_config.model}"
    if not llm.renderer.get_mm_processor().info.allowed_mm_limits.get("image", 0):
        return "its engine takes none: engine_options.limit_mm_per_prompt says how many it does"
    return None


async def rendered(llm: Any, call: Call) -> Any:
    """What vLLM is given of a call with images: the prompt's tokens, and the images as the model
    sees them. Raises what vLLM does where it cannot read one.
    """
    from vllm.renderers.params import ChatParams

    how = ChatParams(chat_template_kwargs={**TEMPLATE, "add_generation_prompt": True})
    _, (prompt,) = await llm.renderer.render_chat_async([messages(call)], how)
    return prompt


def messages(call: Call) -> list[dict[str, Any]]:
    """The messages of a call, its images before its question."""
    parts: list[dict[str, Any]] = []
    if call.prefix.strip():
        parts.append({"type": "text", "text": call.prefix})
    for image in call.images:
        url = f"data:{image.media_type};base64,{image.base64}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    if call.question.strip():
        parts.append({"type": "text", "text": call.question})
    asked: list[dict[str, Any]] = [{"role": "user", "content": parts}]
    if call.system:
        asked.insert(0, {"role": "system", "content": call.system})
    return asked
