"""Input tokens, counted by the tokenizer that a deployment states."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tierqueue.router.deployment import Deployment
from tierqueue.router.errors import Misconfigured
from tierqueue.router.policy import Policy
from tierqueue.tasks.base import ItemTask

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TokenCounter:
    """Counts prompts for the deployments of ``policy`` that state a tokenizer; false without any.

    Raises ``Misconfigured`` where a stated tokenizer cannot be loaded.
    """

    def __init__(self, policy: Policy) -> None:
        stating = [each for each in policy.deployments.values() if each.tokenizer is not None]
        self._tokenizers = {each.name: _load(each) for each in stating}
        # vLLM is held to a schema by its sampler; the others bill it as input.
        self._sent_schemas = {each.name for each in stating if each.engine != "vllm"}

    def __bool__(self) -> bool:
        return bool(self._tokenizers)

    def count(self, task: str, arguments: Mapping[str, Any]) -> dict[str, int]:
        """Tokens of one item's prompt by deployment, without what a chat template adds.

        Empty where the task type is not known here: then the bound by bytes stands.
        """
        kind = ItemTask.declared.get(task)
        if kind is None or not self._tokenizers:
            return {}
        try:
            prompt, model = kind.prompt(arguments), kind.output_model(arguments)
        except Exception:  # noqa: BLE001 - a team's own code; the worker says what is wrong with it
            return {}
        asked = [prompt.system, prompt.prefix + prompt.question]
        schema = [] if model is None else [model.__name__, json.dumps(kind.json_schema(model))]
        return {
            name: _tokens(tokenizer, [*asked, *schema] if name in self._sent_schemas else asked)
            for name, tokenizer in self._tokenizers.items()
        }


def _tokens(tokenizer: "Tokenizer", texts: Iterable[str]) -> int:
    return sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)


def _load(deployment: Deployment) -> "Tokenizer":
    path, named = deployment.tokenizer, f"deployment {deployment.name} states a tokenizer"
    assert path is not None
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise Misconfigured(f"{named}: pip install 'tierqueue[workers]' to count with it") from None
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # noqa: BLE001 - the library raises plain Exception for everything
        message = f"{named}, and {path} cannot be read as a tokenizer.json: {error}"
        raise Misconfigured(message, {"deployment": deployment.name}) from None
    # A file may say how its training cut and filled texts; a prompt is counted whole.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # Marks of the template inside a text may be taken apart by who serves it: the dearer reading.
    tokenizer.encode_special_tokens = True
    return tokenizer
