"""What an item takes over from items before it in a chain or chord."""

from collections.abc import Mapping, Sequence
from typing import Any

from tierqueue.router.item import Sensitivity, strictest


class Inherited:
    """The sensitivities of the predecessors whose answers are among the arguments."""

    def __init__(self) -> None:
        self.levels: list[Sensitivity] = []

    def strictest_with(self, stated: Sensitivity | None) -> Sensitivity | None:
        """The strictest of what was stated and inherited; ``None`` where there is neither."""
        levels = self.levels + ([stated] if stated is not None else [])
        return strictest(levels) if levels else None


def take(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any], Inherited]:
    """The arguments with each predecessor's answer replaced by its ``output``.

    A list of answers (a chord's header) becomes the list of their outputs.
    """
    inherited = Inherited()

    def opened(value: Any) -> Any:
        if isinstance(value, list):
            return [each if isinstance(each, str) else opened(each) for each in value]
        if isinstance(value, dict) and value.keys() == {"output", "receipt"}:
            level = (value["receipt"] or {}).get("sensitivity", Sensitivity.REGULATED)
            inherited.levels.append(Sensitivity(level))
            return value["output"]
        return value

    return (
        [opened(each) for each in args],
        {name: opened(value) for name, value in kwargs.items()},
        inherited,
    )
