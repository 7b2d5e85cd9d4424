"""The prompt of an item: its task type's instruction, what items share, and its own question."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tierqueue.router.policy.defaults import prompt_version


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request in three parts, the most widely shared first.

    ``system``: the task type's instruction. ``prefix``: what many items have in common (labels, a
    document), so that a prompt cache can serve it. ``question``: what is this item's own.
    ``images``: arguments of the type ``Image`` as they came, which are sent before the question.
    """

    system: str
    prefix: str
    question: str
    images: Sequence[Any] = ()

    @property
    def size(self) -> int:
        """UTF-8 bytes of the prompt's texts, the base of its bound in tokens."""
        return sum(len(part.encode()) for part in (self.system, self.prefix, self.question))

    def shared(self, task: str, version: str) -> str:
        """A short name of the shared part: equal names may share a slice."""
        text = "\0".join((task, version, self.system, self.prefix))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def under(system: str, prompt_bytes: int) -> dict[str, Any]:
    """What an item's row says that is asked under another instruction than its task type's own:
    which one, and a size that holds both.
    """
    size = prompt_bytes + len(system.encode())
    return {"prompt": prompt_version(system), "prompt_bytes": size}
