"""Surrogates that the policy puts before the cheapest tier: which items they answer, and how."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierqueue.router.errors import InvalidArtefact, Misconfigured
from tierqueue.router.item import BelowTier
from tierqueue.router.learned import artefact
from tierqueue.router.learned.embedding import LARGEST, Embedding
from tierqueue.router.learned.surrogate import KIND, Surrogate, embedding_of, surroundings
from tierqueue.router.policy.defaults import SurrogateRule
from tierqueue.router.policy.policy import Policy
from tierqueue.router.policy.policy_errors import dotted
from tierqueue.tasks.routing.below import AuditTerms, Offer, Versions, fitted
from tierqueue.tasks.submission.item_task import ItemTask


@dataclass(frozen=True, slots=True)
class SurrogateInService:
    """A surrogate in service for a task type, and the share of its items that is audited."""

    surrogate: Surrogate
    audit: float

    @property
    def version(self) -> str:
        """The surrogate's own."""
        return self.surrogate.version

    @property
    def promise(self) -> AuditTerms:
        """What it was certified for."""
        return AuditTerms(BelowTier.SURROGATE, self.surrogate.task, self.surrogate.promise.alpha)

    def offer(self, arguments: Mapping[str, Any]) -> Offer | None:
        """What it says to a call; ``None`` where it defers."""
        surrogate, kind = self.surrogate, ItemTask.declared.get(self.surrogate.task)
        if kind is None:
            return None
        content = arguments.get(surrogate.argument)
        here = surroundings(arguments, surrogate.argument, kind.prompt_version)
        if not isinstance(content, str) or here != surrogate.surroundings:
            return None
        guess = surrogate.answer(content)
        if guess is None:
            return None
        stated = {"label": guess.label}
        output = fitted(kind, arguments, stated)
        if output is None:
            return None
        agreement = 1 - surrogate.promise.alpha
        why = (
            f"a surrogate answered: certified to agree with the model on {agreement:.1%} of what it"
            f" answers, with a margin of {guess.margin:.3f} where {surrogate.bounds.margin:.3f} is"
            " needed"
        )
        says = {"margin": round(guess.margin, 6)}
        return Offer(BelowTier.SURROGATE, surrogate.version, self.audit, stated, output, why, says)

    def why_none(self, arguments: Mapping[str, Any]) -> str:
        """Why it has no answer to a call, in words."""
        surrogate, kind = self.surrogate, ItemTask.declared[self.surrogate.task]
        name = surrogate.argument
        if not isinstance(content := arguments.get(name), str):
            return f"its {name} is no text as yet"
        if surroundings(arguments, name, kind.prompt_version) != surrogate.surroundings:
            return f"it learned calls in which more than the {name} is another, or another prompt"
        try:
            guess = surrogate.linear.guess(content)
        except InvalidArtefact as refused:
            return refused.message
        if not surrogate.bounds.familiar(guess):
            return f"the {name} is unlike what it learned"
        if not surrogate.bounds.hold(guess):
            return (
                f"its margin is {guess.margin:.3f} where {surrogate.bounds.margin:.3f} is certified"
            )
        return "the task type would refuse what it says"


@dataclass(frozen=True, slots=True)
class DeferringSurrogate:
    """A surrogate that has not the embedding here that it was trained with: it answers nothing."""

    version: str
    promise: AuditTerms
    why: str

    def offer(self, arguments: Mapping[str, Any]) -> Offer | None:  # noqa: ARG002 - of any call
        """Nothing: what it would say was never certified."""
        return None

    def why_none(self, arguments: Mapping[str, Any]) -> str:  # noqa: ARG002 - of any call
        """Why, in words."""
        return self.why


class Surrogates(Versions):
    """The surrogates of ``policy``; false where it has none.

    Raises ``Misconfigured`` where a file cannot be read, is not the one that is named, or is for
    another task type. One whose embedding is not here defers all.
    """

    def __init__(self, policy: Policy) -> None:
        stated = {task: usual.surrogate for task, usual in policy.tasks.items() if usual.surrogate}
        self._served = {task: _load(task, policy, one) for task, one in stated.items()}
        super().__init__(self._served)

    @property
    def deferring(self) -> dict[str, DeferringSurrogate]:
        """Those whose embedding is not here, by task type."""
        return {
            task: one for task, one in self._served.items() if isinstance(one, DeferringSurrogate)
        }

    def why_none(self, task: str, arguments: Mapping[str, Any]) -> str:
        """Why the one of a task type has no answer to a call, in words."""
        return self._served[task].why_none(arguments)


def embedding_in(folder: str) -> Embedding:
    """The embedding of a folder: its ``tokenizer.json`` and its one ``*.safetensors``.

    Raises ``InvalidArtefact`` where there is none that can be used.
    """
    try:
        found = sorted(Path(folder).glob("*.safetensors"))
        if len(found) != 1:
            why = f"{folder} has {len(found)} files *.safetensors, and an embedding is one"
            raise InvalidArtefact(why)
        files = (Path(folder, "tokenizer.json"), found[0])
        if max(file.stat().st_size for file in files) > LARGEST:
            raise InvalidArtefact(f"a file of {folder} has more than {LARGEST} bytes")
        tokenizer, numbers = (file.read_bytes() for file in files)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InvalidArtefact(f"the embedding in {folder} cannot be read: {why}") from None
    return Embedding.read(tokenizer, numbers)


def _load(
    task: str, policy: Policy, rule: SurrogateRule
) -> SurrogateInService | DeferringSurrogate:
    where, file = dotted("tasks", task, "surrogate"), policy.place_of(rule.file)
    try:
        held = artefact.read(Path(file).read_bytes(), KIND, rule.sha256)
        embedding, why = _embedding(embedding_of(held), policy, rule)
        surrogate = Surrogate.of(held, embedding) if why is None else None
        of, alpha = held.fact("task", str), held.fact("alpha", float)
    except OSError as error:
        message = f"{where}: {file} cannot be read: {error.strerror or type(error).__name__}"
        raise Misconfigured(message, {"task": task}) from None
    except InvalidArtefact as error:
        raise Misconfigured(f"{where}: {file}: {error.message}", {"task": task}) from None
    if of != task:
        message = f"{where}: {file} is a surrogate for {of}, not for {task}"
        raise Misconfigured(message, {"task": task})
    if surrogate is None:
        return DeferringSurrogate(
            rule.version, AuditTerms(BelowTier.SURROGATE, task, alpha), str(why)
        )
    return SurrogateInService(surrogate, rule.audit)


def _embedding(
    needed: str | None, policy: Policy, rule: SurrogateRule
) -> tuple[Embedding | None, str | None]:
    """The embedding of this SHA-256 from the folder that the policy names, or why not."""
    if needed is None and rule.embedding is not None:
        raise InvalidArtefact("it was trained with no embedding, and the policy names one")
    if needed is None:
        return None, None
    if rule.embedding is None:
        return None, "it was trained with an embedding, and the policy names no folder of one"
    folder = policy.place_of(rule.embedding)
    try:
        found = embedding_in(folder)
    except InvalidArtefact as absent:
        return None, absent.message
    if found.sha256 != needed:
        return None, f"{folder} holds another embedding than the one that it was trained with"
    return found, None
