"""The results of ``.delay()`` and ``.get()``: Celery's own, and an answer that knows its types."""

from typing import Any, Generic, TypedDict

from pydantic import BaseModel
from typing_extensions import TypeVar

from tierqueue.tasks.results import plain
from tierqueue.tasks.results.replayable_results import ReplayableResult

Out_co = TypeVar("Out_co", covariant=True, default=Any)
"""What ``.get().output`` is."""


class FreeText(BaseModel):
    """The output of a task type without an output model."""

    text: str


class Tokens(TypedDict):
    """Tokens of the accepted call; ``estimated`` where the engine counts none."""

    input: int
    output: int
    estimated: bool


class Receipt(TypedDict):
    """By whom an answer was given, why, and what the item cost over all its attempts.

    ``seconds`` is the accepted call's; ``degraded_from`` the tier it fell back from, if any.
    """

    item: str
    task: str
    tier: str
    deployment: str
    model_asked: str
    model_served: str
    other_model: bool
    attempts: int
    tokens: Tokens
    cost: str
    cost_nanousd: int
    seconds: float
    why: list[Any]
    prompt_version: str
    sensitivity: str
    degraded_from: str | None
    simulated: bool


class Answer(dict[str, Any], Generic[Out_co]):
    """``{"output": …, "receipt": …}``: plain JSON as it came, and the same with types."""

    def __init__(self, found: dict[str, Any], model: type[BaseModel] | None) -> None:
        super().__init__(found)
        self._model = model

    @property
    def output(self) -> Out_co:
        """The output as the task type's model; a plain mapping where the model is not fixed."""
        output: Any = self["output"]
        return output if self._model is None else plain.read(self._model, output)  # type: ignore[return-value]

    @property
    def receipt(self) -> Receipt:
        """How the answer came about, and what it cost."""
        receipt: Receipt = self["receipt"]
        return receipt


class ItemResult(ReplayableResult, Generic[Out_co]):
    """Celery's ``AsyncResult`` of a work item, whose ``get`` returns an ``Answer``."""

    model: type[BaseModel] | None = None

    def get(self, timeout: float | None = None, *args: Any, **kwargs: Any) -> Answer[Out_co]:
        """Wait for the answer; raises what ended the item, or Celery's ``TimeoutError``."""
        found = super().get(timeout, *args, **kwargs)
        is_answer = isinstance(found, dict) and found.keys() == {"output", "receipt"}
        return Answer(found, self.model) if is_answer else found

    async def aget(self, timeout: float | None = None) -> Answer[Out_co]:  # noqa: ASYNC109 - as get
        """As ``get``, awaited: hundreds are waited for at once, and none of them has a thread.

        ``timeout`` is in seconds. While neither broker nor ledger can be asked it waits on.
        """
        from tierqueue.tasks.results.awaiting import waiting

        got: Answer[Out_co] = await waiting().got(self, timeout)
        return got
