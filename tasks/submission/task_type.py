"""A task type as it is declared: how a call is checked, and what is asked and accepted."""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from celery import Task
from pydantic import BaseModel, ValidationError

from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.policy_errors import nearest
from tierqueue.tasks.answers import form
from tierqueue.tasks.submission import chained_inputs
from tierqueue.tasks.submission.demands import NAMES, StatedDemands, invalid, moment
from tierqueue.tasks.submission.prompt import Prompt

# A producer imports its task types at every start: the ledger comes with the first call.
if TYPE_CHECKING:
    from tierqueue.ledger.lifecycle.items import NewItem
    from tierqueue.tasks.submission.image import ImageIntake

OutputModel = type[BaseModel]
Check = Callable[[Mapping[str, Any], Any], str | None]
"""Given the arguments and the parsed output, says why the output is wrong, or ``None``."""

_encode = json.JSONEncoder(sort_keys=True, allow_nan=False).encode

MOST_OUTPUT = 1_000_000
"""The most output tokens that can be asked of a call; no model has more."""

KeyScope = Literal["task", "budget"]
"""Among which items one idempotency key is one item."""


class Doubt(str):
    """What a ``Check`` returns when the answer may be right but is not sure enough."""

    __slots__ = ()


class TaskType(Task):  # type: ignore[misc]  # celery ships no types
    """What a task type declares, and a call checked against it; it submits nothing.

    ``build`` makes the prompt from the arguments; ``output`` is the pydantic model of the answer,
    a function of the arguments giving one, or ``None`` for free text; ``checks`` judge a parsed
    answer; ``output_limit`` is in tokens; ``defaults`` are demands of items that state none.
    """

    abstract = True

    build: Callable[..., Prompt]
    signature_of_build: inspect.Signature
    arguments_model: type[BaseModel]
    output: OutputModel | Callable[[Mapping[str, Any]], OutputModel] | None
    answer_model: OutputModel | None
    """By which ``.get().output`` reads an answer; ``None`` leaves it a plain mapping."""
    checks: Sequence[Check]
    output_limit: int
    prompt_version: str
    defaults: Mapping[str, Any]
    key_scope: KeyScope
    key_lifetime: int | None

    def prompt(self, arguments: Mapping[str, Any]) -> Prompt:
        """The prompt of one item, from its stored arguments."""
        return type(self).build(**arguments)

    def output_model(self, arguments: Mapping[str, Any]) -> OutputModel | None:
        """The model an answer to these arguments must fit; ``None`` for free text."""
        output = type(self).output
        if output is None or isinstance(output, type):
            return output
        return output(arguments)

    def new_item(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        item_id: str,
        not_before: int | None = None,
        expires: int | None = None,
        unattended: bool = False,
        **stands: Any,
    ) -> "NewItem":
        """Check one call and make its item; raises ``InvalidItem`` naming what is wrong.

        ``unattended``: nobody is there who made the call, and so no file is read for it.
        ``stands``: what else the ``NewItem`` says, such as its row of a job.
        """
        from tierqueue.ledger.lifecycle.items import NewItem
        from tierqueue.tasks.submission.image import ImageIntake, NamedImage

        args, kwargs, inherited = chained_inputs.take(args, kwargs)
        given = {name: value for name, value in kwargs.items() if name in NAMES}
        stated = StatedDemands.read({**self.defaults, **given}, self.name)
        own = {name: value for name, value in kwargs.items() if name not in NAMES}
        taking = ImageIntake(unattended=unattended)
        arguments = self._arguments(args, own, taking)
        try:
            prompt, model = self.prompt(arguments), self.output_model(arguments)
            asking = form.size(model)
            limit = _output_limit(arguments.get("max_output_tokens") or self.output_limit)
            _refuse_empty(prompt)
            images = [NamedImage.read(str(name)) for name in prompt.images]
            contents = taking.contents(images)
        except (ValueError, TypeError, NameError, RuntimeError) as error:
            raise InvalidItem(f"{self.name}: {error}", {"task": self.name}) from None
        demands = stated.to_columns()
        demands["inherits"] = inherited.strictest()
        if expires is not None:
            demands["deadline"] = min(expires, demands["deadline"] or expires)
        key = demands.pop("idempotency_key")
        # The deadline is left out: a repeated call states it relative to another now.
        stable = {name: value for name, value in demands.items() if name != "deadline"}
        try:
            told = _encode([arguments, stable])
        except ValueError:
            raise InvalidItem(
                f"{self.name}: a number among the arguments is none (NaN, an empty cell?)",
                {"task": self.name},
            ) from None
        priority = demands.pop("priority")
        return NewItem(
            id=item_id,
            task=self.name,
            arguments=arguments,
            fingerprint=hashlib.sha256(told.encode()).hexdigest()[:32],
            prefix=prompt.shared(self.name, self.prompt_version),
            prompt_bytes=prompt.size + asking,
            messages=2,
            output_limit=limit,
            min_confidence=least_confidence(arguments),
            priority=5 if priority is None else priority,
            not_before=not_before,
            idempotency_key=None if key is None else self.stored_key(key, demands["budget"]),
            key_lifetime=self.key_lifetime,
            images=[(image.width, image.height) for image in images] or None,
            contents=contents,
            **demands,
            **stands,
        )

    def called(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        item_id: str,
        not_before: Any,
        expires: Any,
        unattended: bool = False,
    ) -> "NewItem":
        """``new_item`` with Celery's times: durations, seconds from now, datetimes or ISO text."""
        return self.new_item(
            args,
            kwargs,
            item_id=item_id,
            not_before=None if not_before is None else moment(not_before, self.name, "countdown"),
            expires=None if expires is None else moment(expires, self.name, "expires"),
            unattended=unattended,
        )

    def checked_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call without its demands, both checked."""
        return dict(self.new_item(args, kwargs, item_id="").arguments)

    def _arguments(
        self, args: Sequence[Any], own: Mapping[str, Any], taking: "ImageIntake"
    ) -> dict[str, Any]:
        takes = self.signature_of_build.parameters
        for name in own.keys() - takes.keys():
            raise InvalidItem(
                f"{self.name} has no argument or demand {name!r}" + nearest(name, [*takes, *NAMES]),
                {"task": self.name},
            )
        if args:
            try:
                own = self.signature_of_build.bind_partial(*args, **own).arguments
            except TypeError as error:
                raise InvalidItem(f"{self.name}: {error}", {"task": self.name}) from None
        fields = self.arguments_model.model_fields
        given = {
            name: chained_inputs.fit(
                value, as_text=name in fields and fields[name].annotation is str
            )
            for name, value in own.items()
        }
        try:
            checked = self.arguments_model.model_validate(given, context=taking)
        except ValidationError as error:
            raise invalid(self.name, error) from None
        return checked.model_dump(mode="json")

    def stored_key(self, key: str, budget: str | None) -> str:
        """An idempotency key as the ledger has it, of a call that states this ``budget``."""
        # Quoted, so that no budget and key together read like others.
        return f"{self.name}:{key}" if self.key_scope == "task" else f"{self.name}:{budget!r}:{key}"


def least_confidence(arguments: Mapping[str, Any]) -> float | None:
    """The ``min_confidence`` among the arguments of a call; ``None`` takes any answer."""
    least = arguments.get("min_confidence")
    if not isinstance(least, int | float) or isinstance(least, bool) or not least > 0:
        return None
    return float(least)


def _refuse_empty(prompt: Prompt) -> None:
    if not (prompt.prefix + prompt.question).strip():
        raise ValueError("the prompt is empty: providers refuse a message without a text")


def _output_limit(limit: Any) -> int:
    if type(limit) is not int or not 1 <= limit <= MOST_OUTPUT:
        raise ValueError(f"the output limit is a whole number of tokens from 1 to {MOST_OUTPUT}")
    return limit
