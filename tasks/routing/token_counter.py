"""Input tokens, counted by the tokenizer that a deployment states."""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import structlog

from tierqueue.ledger.records import Item
from tierqueue.router.errors import Misconfigured
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.answers import form
from tierqueue.tasks.submission.item_task import ItemTask

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_log = structlog.get_logger(__name__)

COUNTED = 2_000_000
"""Most bytes of prompts that tokenizers count in one round; the next ones count the rest."""


def countable(items: list[Item]) -> list[Item]:
    """As many of ``items`` as are counted in one round; the first whatever its size."""
    sizes = accumulate(item.prompt_bytes for item in items)
    within = sum(size <= COUNTED for size in sizes)
    return items[: max(within, 1)]


class TokenCounter:
    """Counts prompts for the deployments of ``policy`` that state a tokenizer; false without any.

    Raises ``Misconfigured`` where a stated tokenizer cannot be loaded.
    """

    def __init__(self, policy: Policy) -> None:
        self._tokenizers: dict[str, Tokenizer] = {}
        self._stating: list[tuple[str, str, bool]] = []
        for deployment in policy.deployments.values():
            if deployment.tokenizer is None:
                continue
            if deployment.tokenizer not in self._tokenizers:
                place = policy.place_of(deployment.tokenizer)
                self._tokenizers[deployment.tokenizer] = _load(deployment.name, place)
            # vLLM is held to a schema by its sampler; the others bill what asks for it.
            self._stating.append(
                (deployment.name, deployment.tokenizer, deployment.engine != "vllm")
            )

    def __bool__(self) -> bool:
        return bool(self._stating)

    def count(self, task: str, arguments: Mapping[str, Any]) -> dict[str, int]:
        """Tokens of one item's prompt by deployment, without what a chat template adds.

        Empty where the task type is not known here or its prompt cannot be counted: then the bound
        by bytes stands, and one log line says why.
        """
        kind = ItemTask.declared.get(task)
        if kind is None or not self._stating:
            return {}
        try:
            prompt, model = kind.prompt(arguments), kind.output_model(arguments)
            asked = [prompt.system, prompt.prefix + prompt.question]
            sent = any(sent for _, _, sent in self._stating)
            forms = form.texts(model) if sent and model is not None else []
            counted = {
                path: (_tokens(tokenizer, asked), _most(tokenizer, forms))
                for path, tokenizer in self._tokenizers.items()
            }
        except Exception as error:  # noqa: BLE001 - a team's own code, or a text its tokenizer refuses
            _log.warning("not_counted", task=task, error=type(error).__name__)
            return {}
        return {name: sum(counted[path][: 1 + sent]) for name, path, sent in self._stating}


def _most(tokenizer: "Tokenizer", texts: Iterable[str]) -> int:
    return max((_tokens(tokenizer, [text]) for text in texts), default=0)


def _tokens(tokenizer: "Tokenizer", texts: Iterable[str]) -> int:
    return sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)


def _load(deployment: str, path: str) -> "Tokenizer":
    named = f"deployment {deployment} states a tokenizer"
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise Misconfigured(f"{named}: pip install 'tierqueue[workers]' to count with it") from None
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # noqa: BLE001 - the library raises plain Exception for everything
        message = f"{named}, and {path} cannot be read as a tokenizer.json: {error}"
        raise Misconfigured(message, {"deployment": deployment}) from None
    # A file may say how its training cut and filled texts; a prompt is counted whole.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # Marks of the template inside a text may be taken apart by who serves it: the longer reading.
    tokenizer.encode_special_tokens = True
    return tokenizer
