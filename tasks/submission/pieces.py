"""Pieces of a document that is longer than one: what each holds, and when they are cut."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.policy_errors import nearest
from tierqueue.tasks.files.documents.chunks import CHARACTERS, OVERLAP

Split = Literal["cheaper", "always"]
"""When a document that is longer than a piece is done in pieces."""

OnFailure = Literal["fail", "partial"]
"""What becomes of a document of which a piece has no answer: it has none, or one without it."""

IN_PIECES = ("tierqueue.ask", "tierqueue.summarize", "tierqueue.extract")
"""Task types that can be asked of a document's pieces."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """Documents of more than ``characters`` are done in pieces: where that costs less, or always.

    Raises ``InvalidItem`` for what cannot be meant.
    """

    characters: int = CHARACTERS
    split: Split = "cheaper"
    on_failure: OnFailure = "fail"

    def __post_init__(self) -> None:
        if self.characters <= 2 * OVERLAP:
            raise InvalidItem(
                f"characters = {self.characters}: a piece has at least {2 * OVERLAP + 1}, of which"
                f" {OVERLAP} stand in the next one too"
            )
        for name, known in (("split", Split), ("on_failure", OnFailure)):
            if (said := getattr(self, name)) not in get_args(known):
                raise InvalidItem(f"{name} is {' or '.join(get_args(known))}, not {said!r}")

    @classmethod
    def read(cls, plain: Mapping[str, Any] | None) -> "Pieces | None":
        """From what ``to_json`` made; ``None`` stays ``None``."""
        return None if plain is None else cls(**plain)

    def to_json(self) -> dict[str, Any]:
        """As a job remembers it."""
        return asdict(self)

    def check(self, task: str) -> None:
        """Raises ``InvalidItem`` for a task type that nothing joins the answers of."""
        if task not in IN_PIECES:
            raise InvalidItem(
                f"{task} is not asked of pieces of a document: {', '.join(IN_PIECES)} are"
                f"{nearest(task, IN_PIECES)}"
            )

    def of(self, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """How an item of these arguments is cut; ``None`` where it is one piece."""
        return self.to_json() if len(arguments.get("text", "")) > self.characters else None
