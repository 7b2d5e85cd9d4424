"""Inputs that an item takes over from items before it in a chain or chord."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierqueue.router.item import Sensitivity, strictest


@dataclass(frozen=True, slots=True)
class PredecessorOutput:
    """A predecessor's output among the arguments, until it is known what is wanted there."""

    value: Any


class InheritedSensitivity:
    """The sensitivities of the predecessors whose answers are among the arguments."""

    def __init__(self) -> None:
        self.levels: list[Sensitivity] = []

    def strictest(self) -> Sensitivity | None:
        """The strictest of them; ``None`` where there is no predecessor."""
        return strictest(self.levels) if self.levels else None


def take(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any], InheritedSensitivity]:
    """The arguments with each predecessor's answer replaced by its ``PredecessorOutput``.

    A list of answers (a chord's header) becomes the list of their outputs.
    """
    inherited = InheritedSensitivity()

    def opened(value: Any) -> Any:
        if isinstance(value, list):
            return [part if isinstance(part, str) else opened(part) for part in value]
        if isinstance(value, dict) and value.keys() == {"output", "receipt"}:
            inherited.levels.append(_sensitivity(value["receipt"]))
            return PredecessorOutput(value["output"])
        return value

    return (
        [opened(arg) for arg in args],
        {name: opened(value) for name, value in kwargs.items()},
        inherited,
    )


def fit(value: Any, *, as_text: bool) -> Any:
    """An argument as its task type wants it: outputs as they are, or written out as one text."""
    if isinstance(value, PredecessorOutput):
        return _text(value.value) if as_text else value.value
    if isinstance(value, list) and any(isinstance(part, PredecessorOutput) for part in value):
        parts = [fit(part, as_text=as_text) for part in value]
        return "\n\n".join(map(_text, parts)) if as_text else parts
    return value


def _text(output: Any) -> str:
    """A text, the only text of an object such as ``{"summary": …}``, or else JSON."""
    if isinstance(output, dict) and len(output) == 1:
        (output,) = output.values()
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)


def _sensitivity(receipt: Any) -> Sensitivity:
    stated = receipt.get("sensitivity") if isinstance(receipt, Mapping) else None
    # A receipt that does not say, or not in our words, is of the strictest.
    return Sensitivity(stated) if stated in list(Sensitivity) else Sensitivity.REGULATED
